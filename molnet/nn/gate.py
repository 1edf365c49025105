"""The gated nonlinearity: scalars are activated, everything else is multiplied by scalars."""

from collections.abc import Hashable, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from molnet.kernels.compiler import kernels_serve
from molnet.kernels.gate import FUNCTIONS, CompiledGate, GateEntry
from molnet.kernels.single import apply_step
from molnet.nn.activation import Activation, NormalizedFunction, ScalarFunction
from molnet.nn.alteration import altered
from molnet.o3.irrep import Irrep, MulIrrep
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, cat, check_features
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
        self._entries = entries
        self._compiled: tuple[object, CompiledGate | None] = None, None  # and of which functions
        forget_when_loading(self, constants=["mul.*"])

    def forward(self, features: Tensor) -> Tensor:
        """Gate features ``[..., irreps_in.dim]``; returns ``[..., irreps_out.dim]``."""
        compiled = self.as_step()
        if compiled is not None and kernels_serve(features):
            check_features(features, self.irreps_in, "features of Gate")
            return apply_step(compiled, features)
        return self._in_pytorch(features)

    def as_step(self) -> CompiledGate | None:
        """What :meth:`forward` does, as a step for kernels; None if they lack a function."""
        if self.layout != "ir_mul":
            return None
        functions = _functions(self.act_scalars), _functions(self.act_gates)
        if self._compiled[0] != functions:
            self._compiled = functions, self._compiled_gate(*functions)
        return self._compiled[1]

    def _in_pytorch(self, features: Tensor) -> Tensor:
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

    def _compiled_gate(
        self, of_scalars: "_Functions | None", of_gates: "_Functions | None"
    ) -> CompiledGate | None:
        """The gate as the compiled kernels take it; None if they lack one of the functions."""
        if of_scalars is None or of_gates is None:
            return None
        scalars = _of_each_copy(self.act_scalars, of_scalars)
        gates = _of_each_copy(self.act_gates, of_gates)
        entries = self._entries
        starts: dict[int, tuple[int, int]] = {}  # of each part in the input, and its stride
        for entry, part, members in zip(entries, entries.slices(), self._members, strict=True):
            start = part.start
            for i in members:
                starts[i] = (start, entry.mul)
                start += self._muls[i]
        end_scalars = len(self.irreps_scalars)
        end_gates = end_scalars + len(self.irreps_gates)
        in_scalars = [starts[i][0] + c for i in range(end_scalars) for c in range(self._muls[i])]
        in_gates = [
            starts[i][0] + c for i in range(end_scalars, end_gates) for c in range(self._muls[i])
        ]

        found: list[GateEntry] = []
        for first, count in _stretches(list(zip(in_scalars, scalars, strict=True))):
            function, factor = scalars[first]
            found.append(GateEntry(in_scalars[first], first, count, function, 0, 0, 0, 0, factor))
        copy, out, used = 0, len(in_scalars), [0] * len(self.irreps_gated)
        for piece in self._pieces:
            start, stride = starts[end_gates + piece.gated]
            here = slice(copy, copy + piece.mul)
            for first, count in _stretches(list(zip(in_gates[here], gates[here], strict=True))):
                function, factor = gates[copy + first]
                found.append(
                    GateEntry(
                        start + used[piece.gated] + first,
                        out + first,
                        count,
                        function,
                        in_gates[copy + first],
                        piece.ir.dim,
                        stride,
                        piece.mul,
                        factor,
                    )
                )
            used[piece.gated] += piece.mul
            copy += piece.mul
            out += piece.mul * piece.ir.dim
        return CompiledGate(tuple(found), self.irreps_in.dim, self.irreps_out.dim, self._in_pytorch)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.irreps_in} -> {self.irreps_out})"


_Functions = tuple[tuple[int, float], ...]
"""Number in the kernels, and factor, of the function of each entry."""


def _functions(activation: Activation) -> _Functions | None:
    """Those of an activation as it is now; None if kernels do not know one of them."""
    if type(activation) is not Activation or altered(activation):
        return None
    found = []
    for act in activation.applied:
        if act is None:
            found.append((FUNCTIONS[None], 1.0))
        elif type(act) is NormalizedFunction and isinstance(act.f, Hashable) and act.f in FUNCTIONS:
            found.append((FUNCTIONS[act.f], act.cst))
        else:
            return None
    return tuple(found)


def _of_each_copy(activation: Activation, functions: _Functions) -> list[tuple[int, float]]:
    """The function of each copy of the entries."""
    entries = zip(activation.irreps_in, functions, strict=True)
    return [function for (mul, _), function in entries for _ in range(mul)]


def _stretches(copies: Sequence[tuple[int, object]]) -> list[tuple[int, int]]:
    """(first, count) of runs of copies that follow each other in memory and share a function."""
    runs: list[tuple[int, int]] = []
    for i, (place, function) in enumerate(copies):
        if runs and copies[i - 1] == (place - 1, function):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))
    return runs


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
