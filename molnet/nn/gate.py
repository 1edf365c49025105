"""The gated nonlinearity: scalars are activated, everything else is multiplied by scalars."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from molnet.nn.activation import Activation, ScalarFunction
from molnet.o3.irrep import Irrep, MulIrrep
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, cat
from molnet.o3.weights import forget_when_loading


class Gate(torch.nn.Module):
    r"""Equivariant gate.

    .. math:: \Big( \bigoplus_i \phi_i(x_i) \Big) \oplus \Big( \bigoplus_j \phi_j(g_j)\, y_j \Big)

    Scalars x pass through their activation; each gated irrep y is multiplied by its own scalar, the
    activated gate g. Activations have unit second moment, parity follows
    :class:`~molnet.nn.Activation`. The input holds scalars, gates and gated irreps sorted as
    ``irreps_in`` says; the preceding Linear produces just that. Agrees with ``e3nn.nn.Gate``.

    Args:
        irreps_scalars: scalars that are activated.
        act_scalars: an activation (or None) for each entry of ``irreps_scalars``.
        irreps_gates: scalars that gate, as many as there are gated irreps.
        act_gates: an activation (or None) for each entry of ``irreps_gates``.
        irreps_gated: irreps of any l that are gated.
        layout: memory layout of input and output.

    Raises:
        ValueError: irreps that are not scalars, numbers that do not match, or an activation without
            parity on odd scalars.

    Source: Weiler et al., 3D Steerable CNNs (2018), equation 9.

    >>> gate = Gate("1x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o")
    >>> gate.irreps_in, gate.irreps_out
    (2x0e+1x1o, 1x0e+1x1o)
    >>> x = torch.tensor([0.5, -1.0, 1.0, 2.0, 3.0])
    >>> s, g, v = x.split([1, 1, 3])
    >>> c_tanh, c_sigmoid = (act.cst for act in (*gate.act_scalars.acts, *gate.act_gates.acts))
    >>> expected = torch.cat([c_tanh * torch.tanh(s), c_sigmoid * torch.sigmoid(g) * v])
    >>> torch.equal(gate(x), expected)
    True
    """

    def __init__(
        self,
        irreps_scalars: IrrepsLike,
        act_scalars: Sequence[ScalarFunction | None],
        irreps_gates: IrrepsLike,
        act_gates: Sequence[ScalarFunction | None],
        irreps_gated: IrrepsLike,
        layout: Layout = "mul_ir",
    ) -> None:
        super().__init__()
        self.layout = layout
        irreps_scalars, irreps_gates = Irreps(irreps_scalars), Irreps(irreps_gates)
        for name, irreps in (("irreps_scalars", irreps_scalars), ("irreps_gates", irreps_gates)):
            if any(ir.l != 0 for _, ir in irreps):
                raise ValueError(f"{name} must hold scalars (0e, 0o) alone, got {irreps}")
        self.irreps_scalars = irreps_scalars.simplify()
        self.irreps_gates = irreps_gates.simplify()
        self.irreps_gated = Irreps(irreps_gated).simplify()
        if self.irreps_gates.num_irreps != self.irreps_gated.num_irreps:
            raise ValueError(
                f"each gated irrep needs its own gate: irreps_gated={self.irreps_gated} has "
                f"{self.irreps_gated.num_irreps} irreps, irreps_gates={self.irreps_gates} has "
                f"{self.irreps_gates.num_irreps}"
            )
        self.act_scalars = Activation(irreps_scalars, act_scalars)
        self.act_gates = Activation(irreps_gates, act_gates)

        parts = [*self.irreps_scalars, *self.irreps_gates, *self.irreps_gated]
        in_order = Irreps(parts).sort()
        self.irreps_in = in_order.irreps.simplify()
        entries, self._members = _merge_neighbours(parts, in_order.inv, layout)
        self._blocks = Blocks(entries, layout, "features of Gate")
        self._muls = [entry.mul for entry in parts]

        # A gated entry is cut in two where one entry of the gates ends and the next begins.
        self._pieces = _overlaps(self.irreps_gated, self.act_gates.irreps_out.simplify())
        self._cuts = [
            [piece.mul for piece in self._pieces if piece.gated == i]
            for i in range(len(self.irreps_gated))
        ]
        self.irreps_out = self.act_scalars.irreps_out + Irreps(
            [(piece.mul, piece.ir) for piece in self._pieces]
        )
        forget_when_loading(self, constants=["mul.*"])

    def forward(self, features: Tensor) -> Tensor:
        """Gate features ``[..., irreps_in.dim]``; returns ``[..., irreps_out.dim]``."""
        parts: dict[int, Tensor] = {}
        for block, members in zip(self._blocks.split(features), self._members, strict=True):
            cut = block.split([self._muls[i] for i in members], -1) if len(members) > 1 else [block]
            parts.update(zip(members, cut, strict=True))

        end_scalars = len(self.irreps_scalars)
        end_gates = end_scalars + len(self.irreps_gates)
        outputs = []
        if end_scalars > 0:
            scalars = self._blocks.join([parts[i] for i in range(end_scalars)])
            outputs.append(self.act_scalars(scalars))
        if self._pieces:
            gates = self._blocks.join([parts[i] for i in range(end_scalars, end_gates)])
            gates = self.act_gates(gates).split([piece.mul for piece in self._pieces], -1)
            gated = [
                piece
                for i, muls in enumerate(self._cuts, start=end_gates)
                for piece in (parts[i].split(muls, -1) if len(muls) > 1 else [parts[i]])
            ]
            products = [y * g.unsqueeze(-2) for y, g in zip(gated, gates, strict=True)]
            outputs += [self._blocks.join([product]) for product in products]
        if not outputs:
            return features
        return cat(outputs, -1)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.irreps_in} -> {self.irreps_out})"


class _Piece(NamedTuple):
    """Copies of one gated entry that are multiplied by gates of one irrep."""

    gated: int
    mul: int
    ir: Irrep


def _overlaps(irreps_gated: Irreps, irreps_gates: Irreps) -> list[_Piece]:
    """Cut the gated irreps wherever an entry of the gates ends."""
    gate_irs = [ir for mul, ir in irreps_gates for _ in range(mul)]
    pieces = []
    start = 0
    for i, (mul, ir) in enumerate(irreps_gated):
        for gate_ir, run in groupby(gate_irs[start : start + mul]):
            (product,) = ir * gate_ir
            pieces.append(_Piece(i, len(list(run)), product))
        start += mul
    return pieces


def _merge_neighbours(
    parts: Sequence[MulIrrep], order: Sequence[int], layout: Layout
) -> tuple[Irreps, list[list[int]]]:
    """How the input is cut: entries, and the parts that each holds.

    In ``ir_mul`` the copies of equal irreps with l > 0 interleave, component by component.
    Elsewhere the parts follow each other.
    """
    entries: list[MulIrrep] = []
    members: list[list[int]] = []
    for i in order:
        part = parts[i]
        if layout == "ir_mul" and part.ir.l > 0 and entries and entries[-1].ir == part.ir:
            entries[-1] = MulIrrep(entries[-1].mul + part.mul, part.ir)
            members[-1].append(i)
        else:
            entries.append(part)
            members.append([i])
    return Irreps(entries), members
