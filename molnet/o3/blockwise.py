"""Matrix products on the blocks of features in place, for the layout ``ir_mul``.

In ``ir_mul`` each component of an entry is a matrix ``[N, mul]`` inside the features ``[N, dim]``.
A matrix product can read it there, and write its result where it belongs: no block is copied out,
and none is joined. (Autograd's own view, product and concatenation copy every feature twice.)

The map is linear in features and weights, and so is each of its derivatives: two functions,
:class:`_Map` and :class:`_Outer`, differentiate each other to any order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Block(NamedTuple):
    """``y[:, start_out] += alpha * x[:, start_in] @ W`` for each of the components of an irrep.

    Attributes:
        components: their number, 2l + 1; the next starts ``mul`` further on.
        start_in, mul_in: where the first component is in the input, and its width.
        start_out, mul_out: the same in the output.
        start_weight: where the weights ``[mul_in, mul_out]`` start in the flat tensor.
        alpha: a constant factor.
        transposed: whether W is the transpose of the weights as they are stored.
    """

    components: int
    start_in: int
    mul_in: int
    start_out: int
    mul_out: int
    start_weight: int
    alpha: float
    transposed: bool = False

    def transpose(self) -> "Block":
        """The same block of the transposed map, from output to input."""
        return Block(
            self.components,
            self.start_out,
            self.mul_out,
            self.start_in,
            self.mul_in,
            self.start_weight,
            self.alpha,
            not self.transposed,
        )

    def weights(self, flat: Tensor) -> Tensor:
        """View ``[mul_in, mul_out]`` of this block's weights in the flat tensor."""
        part = flat.narrow(0, self.start_weight, self.mul_in * self.mul_out)
        if self.transposed:
            return part.view(self.mul_out, self.mul_in).t()
        return part.view(self.mul_in, self.mul_out)


class BlockwiseMap(NamedTuple):
    """A linear map made of blocks, each with weights of its own; what no block writes is zero."""

    blocks: tuple[Block, ...]
    dim_in: int
    dim_out: int

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """Apply the map to features ``[..., dim_in]``, with flat weights ``[weight_numel]``."""
        rows = x.flatten(0, -2) if x.dim() > 1 else x.unsqueeze(0)
        return _Map.apply(rows, weight, self).view(*x.shape[:-1], self.dim_out)

    def transpose(self) -> "BlockwiseMap":
        """The transposed map, which reads the same weights."""
        return BlockwiseMap(
            tuple(block.transpose() for block in self.blocks), self.dim_out, self.dim_in
        )


def runs_in_place(features: Tensor) -> bool:
    """Whether products in place pay off: on a CPU, where copies cost as much as arithmetic.

    A compiler fuses copies itself, and has no use for functions that write in place.
    """
    return features.device.type == "cpu" and not torch.compiler.is_compiling()


class _Map(torch.autograd.Function):
    """The sum over blocks of alpha x W."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, linear: BlockwiseMap) -> Tensor:
        weight = weight.contiguous()
        reached = {b.start_out: b.components * b.mul_out for b in linear.blocks}
        new = x.new_empty if sum(reached.values()) == linear.dim_out else x.new_zeros
        y = new(len(x), linear.dim_out)
        for block in linear.blocks:
            W = block.weights(weight)
            beta = 0 if reached.pop(block.start_out, None) else 1  # the first overwrites
            for m in range(block.components):
                part = x.narrow(1, block.start_in + m * block.mul_in, block.mul_in)
                into = y.narrow(1, block.start_out + m * block.mul_out, block.mul_out)
                torch.addmm(into, part, W, beta=beta, alpha=block.alpha, out=into)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.linear = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, _ = ctx.needs_input_grad
        return (
            _Map.apply(grad, weight, ctx.linear.transpose()) if to_x else None,
            _Outer.apply(x, grad, ctx.linear, len(weight)) if to_weight else None,
            None,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _one_by_one(_Map, info.batch_size, in_dims, inputs)


class _Outer(torch.autograd.Function):
    """The derivative of a map by its weights: for each block alpha x^T g, flat."""

    @staticmethod
    def forward(x: Tensor, grad: Tensor, linear: BlockwiseMap, weight_numel: int) -> Tensor:
        weight = x.new_empty(weight_numel)
        for block in linear.blocks:
            into = block.weights(weight)
            for m in range(block.components):
                part = x.narrow(1, block.start_in + m * block.mul_in, block.mul_in)
                of_part = grad.narrow(1, block.start_out + m * block.mul_out, block.mul_out)
                beta = 0 if m == 0 else 1
                torch.addmm(into, part.t(), of_part, beta=beta, alpha=block.alpha, out=into)
        return weight

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, grad, ctx.linear, _ = inputs
        ctx.save_for_backward(x, grad)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, grad = ctx.saved_tensors
        to_x, to_grad, _, _ = ctx.needs_input_grad
        return (
            _Map.apply(grad, weight, ctx.linear.transpose()) if to_x else None,
            _Map.apply(x, weight, ctx.linear) if to_grad else None,
            None,
            None,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        return _one_by_one(_Outer, info.batch_size, in_dims, inputs)


def _one_by_one(
    function: type[torch.autograd.Function],
    size: int,
    in_dims: Sequence[int | None],
    inputs: Sequence[Any],
) -> tuple[Tensor, int]:
    """Evaluate a function for each element of a batch of inputs; for `torch.vmap`."""
    results = [
        function.apply(
            *(x if d is None else x.select(d, i) for x, d in zip(inputs, in_dims, strict=True))
        )
        for i in range(size)
    ]
    return torch.stack(results), 0
