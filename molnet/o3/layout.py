"""The two ways to lay a feature vector of given irreps out in memory.

A feature is one flat axis that holds the entries of an :class:`~molnet.o3.Irreps` one after the
other. Within the entry ``mul x ir`` there are ``mul`` copies of ``2l + 1`` components:

- ``"mul_ir"``: copy outermost, ``[x_0 y_0 z_0 x_1 y_1 z_1 ...]``, as e3nn has it;
- ``"ir_mul"``: component outermost, ``[x_0 x_1 ... y_0 y_1 ... z_0 z_1 ...]``, so that the copies
  (channels) are contiguous. Fast, because most operations act on each component alike.

Modules work on *blocks*, one tensor ``[..., 2l + 1, mul]`` for each entry, whatever the layout;
this file is the only place that knows the difference.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps, IrrepsLike

Layout = Literal["mul_ir", "ir_mul"]


class Blocks:
    """Cuts features of given irreps into blocks, and joins blocks to features.

    Args:
        irreps: irreps of the features.
        layout: their layout in memory.
        name: what the features are called in error messages.
        cut: entries to cut the features into, if not those of ``irreps``: the same copies in the
            same order, as ``2x1o+3x1o`` or ``1x1o+4x1o`` hold those of ``5x1o``; none empty.

    Raises:
        ValueError: the layout is none.
    """

    def __init__(
        self, irreps: Irreps, layout: str, name: str = "features", cut: Irreps | None = None
    ) -> None:
        if layout not in get_args(Layout):
            raise ValueError(f"layout must be one of {get_args(Layout)}, got {layout!r}")
        self.irreps = irreps
        self.layout: Layout = cast(Layout, layout)
        self.name = name
        if cut is None or layout == "mul_ir":
            entries, cut = irreps if cut is None else cut, None
        else:
            entries = irreps.remove_zero_multiplicities()
        self._sizes = [entry.dim for entry in entries]
        self._shapes = [(ir.dim, mul) for mul, ir in entries]
        self._runs = None if cut is None or cut == entries else _runs(entries, cut)

    def split(self, features: Tensor) -> list[Tensor]:
        """Views ``[..., 2l + 1, mul]`` of features ``[..., irreps.dim]``, one for each entry."""
        check_features(features, self.irreps, self.name)
        if not self._sizes:
            return []
        parts = zip(features.split(self._sizes, -1), self._shapes, strict=True)
        if self.layout == "mul_ir":
            return [
                part.view(*part.shape[:-1], mul, dim).transpose(-1, -2)
                for part, (dim, mul) in parts
            ]
        blocks = [part.view(*part.shape[:-1], dim, mul) for part, (dim, mul) in parts]
        if self._runs is None:
            return blocks
        return [
            piece
            for run, muls in self._runs
            for piece in cat([blocks[i] for i in run], -1).split(muls, -1)
        ]

    def join(self, blocks: Sequence[Tensor]) -> Tensor:
        """Features from blocks of any irreps (at least one); undoes :meth:`split`."""
        if self.layout == "mul_ir":
            blocks = [block.transpose(-1, -2) for block in blocks]
        return cat([block.flatten(-2) for block in blocks], -1)


def _runs(entries: Irreps, cut: Irreps) -> list[tuple[list[int], list[int]]]:
    """For each run of equal irreps: the entries in it, and the multiplicities to cut it into."""
    indices = [list(run) for _, run in groupby(range(len(entries)), key=lambda i: entries[i].ir)]
    muls = [[entry.mul for entry in run] for _, run in groupby(cut, key=lambda entry: entry.ir)]
    return list(zip(indices, muls, strict=True))


def check_features(features: Tensor, irreps: Irreps, name: str) -> None:
    """Raise a ValueError unless the last axis of ``features`` has the size of ``irreps``."""
    if features.shape[-1] != irreps.dim:
        raise ValueError(
            f"{name} must have shape [..., {irreps.dim}] for irreps {irreps}, "
            f"got {list(features.shape)}"
        )


def change_layout(features: Tensor, irreps: IrrepsLike, source: Layout, target: Layout) -> Tensor:
    """Rearrange features ``[..., irreps.dim]`` from one layout to the other.

    >>> import torch
    >>> change_layout(torch.arange(6.0), "2x1o", "mul_ir", "ir_mul")
    tensor([0., 3., 1., 4., 2., 5.])
    """
    irreps = Irreps(irreps)
    blocks = Blocks(irreps, source).split(features)
    target_blocks = Blocks(irreps, target)
    return features if source == target or not blocks else target_blocks.join(blocks)


def cat(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """`torch.cat` that does not copy a single tensor."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim)
