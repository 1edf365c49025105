"""Matrix products on the blocks of features in place, for the layout ``ir_mul``.

In ``ir_mul`` each component of an entry is a matrix ``[N, mul]`` inside the features ``[N, dim]``.
A matrix product can read it there, and write its result where it belongs: no block is copied out,
and none is joined. (Autograd's own view, product and concatenation copy every feature twice.) One
call of a compiled kernel does all blocks; without a compiler PyTorch's products do them one by one.

The map is linear in features and weights, and so is each of its derivatives: two functions,
:class:`_Map` and :class:`_Outer`, differentiate each other to any order. Both derivatives of a map
come from one sweep, :class:`_Both`.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.compiler import REAL, library
from molnet.kernels.engine import Function, wanted_gradients


class MapBlock(NamedTuple):
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

    def transpose(self) -> "MapBlock":
        """The same block of the transposed map, from output to input."""
        return MapBlock(
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


class RowGroups(NamedTuple):
    """Rows in groups (the nodes of each species, say), with weights of their own.

    Attributes:
        order: indices of the rows, group by group, ``[N]``.
        starts: those of group s are ``order[starts[s]:starts[s + 1]]``, ``[S + 1]``.
    """

    order: Tensor
    starts: Tensor

    @classmethod
    def of(cls, group: Tensor, num_groups: int) -> "RowGroups":
        """Sort rows by their group, ``[N]`` integers in ``range(num_groups)``."""
        counts = torch.bincount(group, minlength=num_groups)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(group.argsort(stable=True), starts)


@dataclass(frozen=True, eq=False)
class BlockwiseMap:
    """A linear map made of blocks, each with weights of its own; what no block writes is zero."""

    blocks: tuple[MapBlock, ...]
    dim_in: int
    dim_out: int

    def __call__(self, x: Tensor, weight: Tensor, groups: RowGroups | None = None) -> Tensor:
        """Apply the map to features ``[..., dim_in]``.

        Args:
            x: features; ``[N, dim_in]`` where there are groups.
            weight: flat weights ``[weight_numel]``, or ``[S, weight_numel]`` for S groups.
            groups: which rows go with which weights.
        """
        if weight.is_leaf and weight.requires_grad:
            weight = weight.view_as(weight)  # see molnet.kernels.engine
        if x.dim() == 2:
            return _Map.apply(x, weight, self, *(groups or (None, None)))
        rows = x.flatten(0, -2) if x.dim() > 1 else x.unsqueeze(0)
        return _Map.apply(rows, weight, self, None, None).view(*x.shape[:-1], self.dim_out)

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockwiseMap, (self.blocks, self.dim_in, self.dim_out)  # no addresses

    def pack(self, weight: Tensor) -> "PackedMap | None":
        """The map with weights that stay as they are; None where there are no kernels for it."""
        kernels = _kernels(weight)
        if kernels is None:
            return None
        packed = [linear._panels(kernels, weight) for linear in (self, self.transposed)]
        return PackedMap(self, kernels, *packed)

    def _panels(self, kernels: ctypes.CDLL, weight: Tensor) -> Tensor:
        weight = weight.detach().contiguous()
        groups = weight.shape[0] if weight.dim() == 2 else 1
        kernels.blockwise_panels_size.restype = ctypes.c_int64
        size = kernels.blockwise_panels_size(ctypes.c_void_p(self.address))
        panels = weight.new_empty(groups * size)
        rows = _Rows(0, groups, None, None, 1)
        _call(kernels.blockwise_pack, self, rows, weight.shape[-1], weight, panels)
        return panels

    @cached_property
    def transposed(self) -> "BlockwiseMap":
        """The transposed map, which reads the same weights."""
        transposed = BlockwiseMap(
            tuple(block.transpose() for block in self.blocks), self.dim_out, self.dim_in
        )
        transposed.__dict__["transposed"] = self
        return transposed

    @cached_property
    def covers(self) -> bool:
        """Whether the blocks write every output."""
        reached = {b.start_out: b.components * b.mul_out for b in self.blocks}
        return sum(reached.values()) == self.dim_out

    @cached_property
    def adds(self) -> tuple[bool, ...]:
        """For each block, whether another has written its outputs before."""
        starts = [block.start_out for block in self.blocks]
        return tuple(start in starts[:i] for i, start in enumerate(starts))

    @cached_property
    def table(self) -> NDArray[np.void]:
        """``Block`` of the C++ source for each block."""
        integers = [
            (*b[:6], b.transposed, adds) for b, adds in zip(self.blocks, self.adds, strict=True)
        ]
        table = np.zeros(len(self.blocks), dtype=[("integers", np.int64, 8), ("alpha", np.float64)])
        table["integers"] = np.array(integers, dtype=np.int64).reshape(-1, 8)
        table["alpha"] = [block.alpha for block in self.blocks]
        return table

    @cached_property
    def _struct(self) -> "_Blocks":
        return _Blocks(
            self.dim_in, self.dim_out, len(self.blocks), self.covers, self.table.ctypes.data
        )

    @cached_property
    def address(self) -> int:
        """Of ``Blocks`` of the C++ source."""
        return ctypes.addressof(self._struct)


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A map and its transpose with constant weights, in the order in which kernels read them.

    Nothing is recorded for autograd.
    """

    linear: BlockwiseMap
    kernels: ctypes.CDLL
    panels: Tensor
    panels_of_transposed: Tensor

    def __call__(
        self, x: Tensor, groups: RowGroups | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """Map features ``[N, dim_in]``, or add the result to those of ``onto``."""
        return self._run(self.linear, self.panels, x, groups, onto)

    def transpose(
        self, x: Tensor, groups: RowGroups | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """The same of the transposed map, of features ``[N, dim_out]``."""
        return self._run(self.linear.transposed, self.panels_of_transposed, x, groups, onto)

    def _run(
        self,
        linear: BlockwiseMap,
        panels: Tensor,
        x: Tensor,
        groups: RowGroups | None,
        onto: Tensor | None,
    ) -> Tensor:
        y = x.new_empty(len(x), linear.dim_out) if onto is None else onto
        order, starts = (None, None) if groups is None else groups
        rows = _rows(len(x), order, starts)
        _call(
            self.kernels.blockwise_packed_map,
            linear,
            rows,
            onto is not None,
            x.contiguous(),
            panels,
            y,
        )
        return y


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
    ) -> Tensor:
        y = x.new_empty(len(x), linear.dim_out)
        if kernels := _kernels(x):
            x, weight = x.contiguous(), weight.contiguous()
            rows = _rows(len(x), order, starts)
            _call(kernels.blockwise_map, linear, rows, weight.shape[-1], x, weight, y)
            return y
        if not linear.covers:
            y.zero_()
        for of_group, into, weights in _by_group(x, y, weight, order, starts):
            for block, adds in zip(linear.blocks, linear.adds, strict=True):
                W = block.weights(weights)
                for m in range(block.components):
                    part = of_group.narrow(1, block.start_in + m * block.mul_in, block.mul_in)
                    to = into.narrow(1, block.start_out + m * block.mul_out, block.mul_out)
                    torch.addmm(to, part, W, beta=int(adds), alpha=block.alpha, out=to)
        return y if order is None else _ungrouped(y, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.linear, order, starts = inputs
        ctx.save_for_backward(x, weight, order, starts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *groups = ctx.saved_tensors
        to_x, to_weight = wanted_gradients(ctx)[:2]
        if to_x and to_weight:
            return *_Both.apply(x, grad, weight, ctx.linear, *groups), *[None] * 3
        return (
            _Map.apply(grad, weight, ctx.linear.transposed, *groups) if to_x else None,
            _Outer.apply(x, grad, ctx.linear, weight.shape, *groups) if to_weight else None,
            *[None] * 3,
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
        if kernels := _kernels(x):
            x, grad = x.contiguous(), grad.contiguous()
            rows = _rows(len(x), order, starts)
            _call(kernels.blockwise_outer, linear, rows, shape[-1], x, grad, weight)
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
        to_x, to_grad = wanted_gradients(ctx)[:2]
        return (
            _Map.apply(grad, weight, ctx.linear.transposed, *groups) if to_x else None,
            _Map.apply(x, weight, ctx.linear, *groups) if to_grad else None,
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
        kernels = _kernels(x)
        if kernels is None:
            of_x = _Map.forward(grad, weight, linear.transposed, order, starts)
            return of_x, _Outer.forward(x, grad, linear, weight.shape, order, starts)
        of_x, of_weight = x.new_empty(x.shape), x.new_empty(weight.shape)
        x, grad, weight = x.contiguous(), grad.contiguous(), weight.contiguous()
        given = (x, grad, linear.transposed.address, weight, of_x, of_weight)
        _call(
            kernels.blockwise_both, linear, _rows(len(x), order, starts), weight.shape[-1], *given
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
        to_x, to_grad, to_weight = wanted_gradients(ctx)[:3]
        by_grad = (
            _Map.apply(of_x, weight, linear, *groups) + _Map.apply(x, of_weight, linear, *groups)
            if to_grad
            else None
        )
        return (
            _Map.apply(grad, of_weight, linear.transposed, *groups) if to_x else None,
            by_grad,
            _Outer.apply(of_x, grad, linear, weight.shape, *groups) if to_weight else None,
            *[None] * 3,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _one_by_one(_Both, info.batch_size, in_dims, inputs)


class _Blocks(ctypes.Structure):
    """``Blocks`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dim_in", "dim_out", "blocks", "covered")),
        ("block", ctypes.c_void_p),
    )


class _Rows(ctypes.Structure):
    """``Rows`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "groups")),
        *((name, ctypes.c_void_p) for name in ("order", "starts")),
        ("threads", ctypes.c_int64),
    )


def _kernels(x: Tensor) -> ctypes.CDLL | None:
    """The compiled kernels for features like these, if there are any."""
    served = x.device.type == "cpu" and x.dtype in REAL
    return library(REAL[x.dtype]) if served else None


def _rows(num_rows: int, order: Tensor | None, starts: Tensor | None) -> _Rows:
    return _Rows(
        num_rows,
        1 if starts is None else len(starts) - 1,
        None if order is None else order.data_ptr(),
        None if starts is None else starts.data_ptr(),
        torch.get_num_threads(),
    )


def _call(
    kernel: Any, linear: BlockwiseMap, rows: _Rows, number: int, *arguments: Tensor | int
) -> None:
    """Call a kernel with tensors, or addresses."""
    addresses = [a if isinstance(a, int) else a.data_ptr() for a in arguments]
    kernel(
        ctypes.c_void_p(linear.address),
        ctypes.byref(rows),
        ctypes.c_int64(number),
        *map(ctypes.c_void_p, addresses),
    )


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
