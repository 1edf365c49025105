"""Linear maps between blocks of features, differentiable to any order.

A matrix product can read a block where it lies in the features, and write its result where it
belongs: no block is copied out, and none is joined. (Autograd's own view, product and concatenation
copy every feature twice.) One call of a compiled kernel does all blocks; without a compiler
PyTorch's products do them one by one.

The map is linear in features and weights, and so is each of its derivatives: two functions,
:class:`_Map` and :class:`_Outer`, differentiate each other to any order. Both derivatives of a map
come from one sweep, :class:`_Both`.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from molnet.kernels.compiler import kernels_for
from molnet.kernels.engine import Function, wanted_gradients
from molnet.kernels.linear.blocks import BlockwiseMap, RowGroups, call, rows_of

if TYPE_CHECKING:
    from molnet.kernels.program import Surroundings


def apply_blockwise(
    linear: BlockwiseMap,
    x: Tensor,
    weight: Tensor,
    groups: RowGroups | None = None,
    onto: Tensor | None = None,
) -> Tensor:
    """Apply a map to features ``[..., dim_in]``.

    Args:
        linear: the map.
        x: features; ``[N, dim_in]`` where there are groups.
        weight: flat weights ``[weight_numel]``, or ``[S, weight_numel]`` for S groups.
        groups: which rows go with which weights.
        onto: ``[N, dim_out]``, to which the result is added in place; nothing else may need it.
    """
    if weight.is_leaf and weight.requires_grad:
        weight = weight.view_as(weight)  # see molnet.kernels.engine
    if x.dim() == 2:
        return _Map.apply(x, weight, linear, *(groups or (None, None)), onto)
    rows = x.flatten(0, -2) if x.dim() > 1 else x.unsqueeze(0)
    return _Map.apply(rows, weight, linear, None, None, None).view(*x.shape[:-1], linear.dim_out)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A map as a step of a program.

    Args:
        map: its blocks.
        of_species: whether each species has weights of its own, ``[S, numel]``, or all nodes the
            same, ``[numel]``.
    """

    map: BlockwiseMap
    of_species: bool = False

    nonlinear = False
    learns = True
    accumulates = True

    @property
    def symbol(self) -> str:
        """The name of its functions in the C++ source."""
        return "species_linear_step" if self.of_species else "linear_step"

    @property
    def dim_in(self) -> int:
        """Length of the rows that come in."""
        return self.map.dim_in

    @property
    def dim_out(self) -> int:
        """Length of the rows that go out."""
        return self.map.dim_out

    @property
    def packed(self) -> BlockwiseMap:
        """The map whose weights are packed."""
        return self.map

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""
        return kernels_for(like) is not None

    def struct(self, weight: Tensor | None) -> ctypes.Structure:
        """Packed weights are all that its functions are told."""
        raise TypeError("the weights of linear maps are packed together")

    def apply(
        self, x: Tensor, weight: Tensor, around: "Surroundings", onto: Tensor | None
    ) -> Tensor:
        """The same, recorded by autograd."""
        groups = around.species if self.of_species else None
        return apply_blockwise(self.map, x, weight, groups, onto)


def runs_in_place(features: Tensor) -> bool:
    """Whether products in place pay off: on a CPU, where copies cost as much as arithmetic.

    A compiler fuses copies itself, and has no use for functions that write in place.
    """
    return features.device.type == "cpu" and not torch.compiler.is_compiling()


class _Map(Function):
    """The sum over blocks of alpha x W."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        linear: BlockwiseMap,
        order: Tensor | None,
        starts: Tensor | None,
        onto: Tensor | None,
    ) -> Tensor:
        if kernels := kernels_for(x):
            y = x.new_empty(len(x), linear.dim_out) if onto is None else onto
            x, weight = x.contiguous(), weight.contiguous()
            rows = rows_of(len(x), order, starts, onto is not None)
            call(kernels.blockwise_map, linear, rows, weight.shape[-1], x, weight, y)
            return y
        y = x.new_empty(len(x), linear.dim_out)
        if not linear.covers:
            y.zero_()
        for of_group, into, weights in _by_group(x, y, weight, order, starts):
            for block, adds in zip(linear.blocks, linear.adds, strict=True):
                W = block.weights(weights)
                for m in range(block.components):
                    part = of_group.narrow(1, block.start_in + m * block.mul_in, block.mul_in)
                    to = into.narrow(1, block.start_out + m * block.mul_out, block.mul_out)
                    torch.addmm(to, part, W, beta=int(adds), alpha=block.alpha, out=to)
        y = y if order is None else _ungrouped(y, order)
        return y if onto is None else onto.add_(y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.linear, order, starts, onto = inputs
        ctx.save_for_backward(x, weight, order, starts)
        if onto is not None:
            ctx.mark_dirty(onto)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *groups = ctx.saved_tensors
        to_x, to_weight = islice(wanted_gradients(ctx), 2)
        to_onto = grad if ctx.needs_input_grad[5] else None
        if to_x and to_weight:
            by_x, by_weight = _Both.apply(x, grad, weight, ctx.linear, *groups)
            return by_x, by_weight, None, None, None, to_onto
        return (
            _Map.apply(grad, weight, ctx.linear.transposed, *groups, None) if to_x else None,
            _Outer.apply(x, grad, ctx.linear, weight.shape, *groups) if to_weight else None,
            *[None] * 3,
            to_onto,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _one_by_one(_Map, info.batch_size, in_dims, inputs)


class _Outer(Function):
    """The derivative of a map by its weights: for each block alpha x^T g, flat."""

    @staticmethod
    def forward(
        x: Tensor,
        grad: Tensor,
        linear: BlockwiseMap,
        shape: torch.Size,
        order: Tensor | None,
        starts: Tensor | None,
    ) -> Tensor:
        weight = x.new_empty(shape)
        if kernels := kernels_for(x):
            x, grad = x.contiguous(), grad.contiguous()
            rows = rows_of(len(x), order, starts)
            call(kernels.blockwise_outer, linear, rows, shape[-1], x, grad, weight)
            return weight
        of = grad if order is None else grad.index_select(0, order)
        for of_group, of_rows, into in _by_group(x, of, weight, order, starts):
            for block in linear.blocks:
                W = block.weights(into)
                for m in range(block.components):
                    part = of_group.narrow(1, block.start_in + m * block.mul_in, block.mul_in)
                    g = of_rows.narrow(1, block.start_out + m * block.mul_out, block.mul_out)
                    torch.addmm(W, part.t(), g, beta=int(m > 0), alpha=block.alpha, out=W)
        return weight

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, grad, ctx.linear, _, order, starts = inputs
        ctx.save_for_backward(x, grad, order, starts)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        x, grad, *groups = ctx.saved_tensors
        to_x, to_grad = islice(wanted_gradients(ctx), 2)
        return (
            _Map.apply(grad, weight, ctx.linear.transposed, *groups, None) if to_x else None,
            _Map.apply(x, weight, ctx.linear, *groups, None) if to_grad else None,
            *[None] * 4,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _one_by_one(_Outer, info.batch_size, in_dims, inputs)


class _Both(Function):
    """Both derivatives of a map at once: the transposed map of g, and the outer product."""

    @staticmethod
    def forward(
        x: Tensor,
        grad: Tensor,
        weight: Tensor,
        linear: BlockwiseMap,
        order: Tensor | None,
        starts: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        kernels = kernels_for(x)
        if kernels is None:
            of_x = _Map.forward(grad, weight, linear.transposed, order, starts, None)
            return of_x, _Outer.forward(x, grad, linear, weight.shape, order, starts)
        of_x, of_weight = x.new_empty(x.shape), x.new_empty(weight.shape)
        x, grad, weight = x.contiguous(), grad.contiguous(), weight.contiguous()
        given = (x, grad, linear.transposed.address, weight, of_x, of_weight)
        call(
            kernels.blockwise_both, linear, rows_of(len(x), order, starts), weight.shape[-1], *given
        )
        return of_x, of_weight

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, grad, weight, ctx.linear, order, starts = inputs
        ctx.save_for_backward(x, grad, weight, order, starts)

    @staticmethod
    def backward(ctx: Any, of_x: Tensor, of_weight: Tensor) -> tuple[Tensor | None, ...]:
        x, grad, weight, *groups = ctx.saved_tensors
        linear = ctx.linear
        to_x, to_grad, to_weight = islice(wanted_gradients(ctx), 3)
        by_grad = (
            _Map.apply(of_x, weight, linear, *groups, None)
            + _Map.apply(x, of_weight, linear, *groups, None)
            if to_grad
            else None
        )
        return (
            _Map.apply(grad, of_weight, linear.transposed, *groups, None) if to_x else None,
            by_grad,
            _Outer.apply(of_x, grad, linear, weight.shape, *groups) if to_weight else None,
            *[None] * 3,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _one_by_one(_Both, info.batch_size, in_dims, inputs)


def _by_group(
    x: Tensor, y: Tensor, weight: Tensor, order: Tensor | None, starts: Tensor | None
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Rows of x and y and the flat weights of every group; rows of y in the order of the groups."""
    if order is None or starts is None:
        return [(x, y, weight)]
    counts = starts.diff().tolist()
    rows = x.index_select(0, order).split(counts)
    return list(zip(rows, y.split(counts), weight, strict=True))


def _ungrouped(y: Tensor, order: Tensor) -> Tensor:
    result = torch.empty_like(y)
    result[order] = y
    return result


def _one_by_one(
    function: type[Function],
    size: int,
    in_dims: Sequence[int | None],
    inputs: Sequence[Any],
) -> tuple[Any, Any]:
    """Evaluate a function for each element of a batch of inputs; for `torch.vmap`."""
    results = [
        function.apply(
            *(
                x.select(d, i) if isinstance(d, int) else x  # a shape has a dimension for each size
                for x, d in zip(inputs, in_dims, strict=True)
            )
        )
        for i in range(size)
    ]
    if isinstance(results[0], tuple):
        return tuple(map(torch.stack, zip(*results, strict=True))), (0,) * len(results[0])
    return torch.stack(results), 0
