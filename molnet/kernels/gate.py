"""The gate of features in layout ``ir_mul`` as a step.

For scalars ``y = f(x)``, for gated features ``y = f(z) x`` with a scalar z for each copy. Plain
PyTorch needs some thirty operators for it and hundreds for its second derivatives.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.compiler import kernels_for
from molnet.kernels.linear.blocks import RowGroups
from molnet.kernels.single import apply_step

if TYPE_CHECKING:
    from molnet.kernels.program import Surroundings

FUNCTIONS: dict[Callable[[Tensor], Tensor] | None, int] = {
    None: 0,
    torch.nn.functional.silu: 1,
    torch.sigmoid: 2,
    torch.nn.functional.sigmoid: 2,
    torch.tanh: 3,
    torch.nn.functional.tanh: 3,
}
"""The functions that the compiled gate knows, and their numbers there."""


class GateEntry(NamedTuple):
    """Copies of one irrep. Positions count numbers from the start of a row.

    Attributes:
        start_in, start_out: where its first component is in input and output.
        mul: number of copies.
        function: a value of :data:`FUNCTIONS`.
        start_gate: where the scalars are that gate it.
        components: their number, 2l + 1; zero for scalars without a gate.
        stride_in, stride_out: from one component to the next.
        factor: constant before the function.
    """

    start_in: int
    start_out: int
    mul: int
    function: int
    start_gate: int
    components: int
    stride_in: int
    stride_out: int
    factor: float


@dataclass(frozen=True, eq=False)
class CompiledGate:
    """A gate as a list of entries that write every output and read every input once.

    Args:
        entries: what to do.
        dim_in, dim_out: lengths of the rows.
        reference: the same function in plain PyTorch.
    """

    entries: tuple[GateEntry, ...]
    dim_in: int
    dim_out: int
    reference: Callable[[Tensor], Tensor]

    symbol = "gate_step"
    nonlinear = True
    learns = False
    accumulates = False
    packed = None

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""
        return kernels_for(like) is not None

    def apply(self, x: Tensor, weight: None, around: "Surroundings") -> Tensor:
        """The gate in a program, recorded by autograd."""
        return apply_step(self, x)

    def in_pytorch(self, x: Tensor, weight: None, species: RowGroups | None) -> Tensor:
        """The gate in plain PyTorch."""
        return self.reference(x)

    def struct(self, weight: Tensor | None) -> "GateStruct":
        """``Gate`` of the C++ source."""
        return GateStruct(self.dim_in, self.dim_out, len(self.entries), self._table.ctypes.data)

    @cached_property
    def _table(self) -> NDArray[np.void]:
        """``Entry`` of the C++ source for each entry."""
        fields = [("integers", np.int64, 8), ("factor", np.float64)]
        table = np.zeros(len(self.entries), dtype=fields)
        table["integers"] = np.array([e[:8] for e in self.entries], dtype=np.int64).reshape(-1, 8)
        table["factor"] = [entry.factor for entry in self.entries]
        return table


class GateStruct(ctypes.Structure):
    """``Gate`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dim_in", "dim_out", "entries")),
        ("entry", ctypes.c_void_p),
    )
