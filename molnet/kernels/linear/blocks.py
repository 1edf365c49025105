"""Linear maps between blocks of features in layout ``ir_mul``, as their kernels take them.

In ``ir_mul`` each component of an entry is a matrix ``[N, mul]`` inside the features ``[N, dim]``.
"""

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.edges import starts_of


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
        group: of each row, ``[N]``.
        order: indices of the rows, group by group, ``[N]``.
        starts: those of group s are ``order[starts[s]:starts[s + 1]]``, ``[S + 1]``.
    """

    group: Tensor
    order: Tensor
    starts: Tensor

    @classmethod
    def of(cls, group: Tensor, num_groups: int) -> "RowGroups":
        """Sort rows by their group, ``[N]`` integers in ``range(num_groups)``."""
        group = group.long().contiguous()
        ascending, order = group.sort(stable=True)
        return cls(group, order, starts_of(ascending, num_groups))


@dataclass(frozen=True, eq=False)
class BlockwiseMap:
    """A linear map made of blocks, each with weights of its own; what no block writes is zero."""

    blocks: tuple[MapBlock, ...]
    dim_in: int
    dim_out: int

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockwiseMap, (self.blocks, self.dim_in, self.dim_out)  # no addresses

    @cached_property
    def transposed(self) -> "BlockwiseMap":
        """The transposed map, which reads the same weights."""
        transposed = BlockwiseMap(
            tuple(block.transpose() for block in self.blocks), self.dim_out, self.dim_in
        )
        transposed.__dict__["transposed"] = self
        return transposed

    def in_pytorch(self, x: Tensor, weight: Tensor, groups: RowGroups | None = None) -> Tensor:
        """The map in plain PyTorch.

        Args:
            x: features ``[..., dim_in]``; ``[N, dim_in]`` where there are groups.
            weight: flat weights ``[numel]``, or ``[S, numel]`` for S groups.
            groups: which rows go with which weights.
        """
        if groups is not None:
            rows = x.index_select(0, groups.order).split(groups.starts.diff().tolist())
            parts = [self.in_pytorch(*each) for each in zip(rows, weight, strict=True)]
            return torch.cat(parts).index_select(0, groups.order.argsort())
        outputs: dict[int, Tensor] = {}
        for block in self.blocks:
            part = x.narrow(-1, block.start_in, block.components * block.mul_in)
            part = part.unflatten(-1, (block.components, block.mul_in))
            y = (part @ (block.alpha * block.weights(weight))).flatten(-2)
            known = outputs.get(block.start_out)
            outputs[block.start_out] = y if known is None else known + y
        result, end = [], 0
        for start, y in sorted(outputs.items(), key=lambda item: item[0]):
            result += [x.new_zeros(*x.shape[:-1], start - end), y] if start > end else [y]
            end = start + y.shape[-1]
        return torch.cat([*result, x.new_zeros(*x.shape[:-1], self.dim_out - end)], -1)

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

    @property
    def address(self) -> int:
        """Of ``Blocks`` of the C++ source."""
        held = self.__dict__.get("_held")
        if held is None:
            table = self.table
            struct = Blocks(
                self.dim_in, self.dim_out, len(self.blocks), self.covers, table.ctypes.data
            )
            # Of several threads that come here at once the first one's stays, for all of them.
            held = self.__dict__.setdefault("_held", (table, struct))
        return ctypes.addressof(held[1])


class Blocks(ctypes.Structure):
    """``Blocks`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dim_in", "dim_out", "blocks", "covered")),
        ("block", ctypes.c_void_p),
    )
