"""The gate of features in layout ``ir_mul``, with its derivatives in closed form.

For scalars ``y = f(x)``, for gated features ``y = f(z) x`` with a scalar z for each copy, and
gradients g of y:

================  ===========================================  =========================
function          computes                                     its backward pass uses
================  ===========================================  =========================
:class:`_Gate`    y                                            :class:`_Backward`
:class:`_Backward`  b = Σ g ∂y/∂x                              :class:`_Tangent`
:class:`_Tangent`   ∂(b·t)/∂g and ∂(b·t)/∂x                    PyTorch, differentiated
================  ===========================================  =========================

Plain PyTorch needs some thirty operators for the first and hundreds for the last.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.compiler import kernels_for
from molnet.kernels.engine import Function, as_inputs

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
        reference: the same function in plain PyTorch, for derivatives beyond the second.
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

    def apply(self, x: Tensor, weight: None, around: Any, onto: Tensor | None) -> Tensor:
        """The gate as a step of a program, recorded by autograd."""
        return self(x)

    def serves(self, x: Tensor) -> bool:
        """Whether there are kernels for these features here."""
        return not torch.compiler.is_compiling() and kernels_for(x) is not None

    def __call__(self, x: Tensor) -> Tensor:
        """Gate features ``[..., dim_in]``; returns ``[..., dim_out]``."""
        return _Gate.apply(x, self)

    def evaluate(self, x: Tensor) -> Tensor:
        """The same, not recorded for autograd."""
        return self.run("forward", [x], [self.dim_out])[0]

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        """From the gradient of the result that of x, not recorded for autograd."""
        return self.run("backward", [x, g], [self.dim_in])[0]

    def run(self, name: str, inputs: Sequence[Tensor], dims_out: Sequence[int]) -> list[Tensor]:
        """Run a kernel on tensors of one batch shape."""
        x = inputs[0]
        kernels = kernels_for(x)
        if kernels is None:
            raise RuntimeError("the compiled gate was called on a machine without it")
        given = [tensor.contiguous() for tensor in inputs]
        results = [x.new_empty(*x.shape[:-1], dim) for dim in dims_out]
        struct = self.struct()
        struct.rows = x.numel() // max(self.dim_in, 1)
        struct.threads = torch.get_num_threads()
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (*given, *results)]
        getattr(kernels, f"gate_{name}")(ctypes.byref(struct), *pointers)
        return results

    def struct(self, weight: Tensor | None = None) -> "GateStruct":
        """``Gate`` of the C++ source, but for rows and threads."""
        entries = self._table.ctypes.data
        return GateStruct(
            dim_in=self.dim_in, dim_out=self.dim_out, entries=len(self.entries), entry=entries
        )

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
        *((name, ctypes.c_int64) for name in ("rows", "dim_in", "dim_out", "entries")),
        ("entry", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
    )


class _Gate(Function):
    @staticmethod
    def forward(x: Tensor, gate: CompiledGate) -> Tensor:
        return gate.evaluate(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.gate = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Backward.apply(*ctx.saved_tensors, g, ctx.gate), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _Gate.apply(*_batch_first(info.batch_size, in_dims, inputs)), 0


class _Backward(Function):
    @staticmethod
    def forward(x: Tensor, g: Tensor, gate: CompiledGate) -> Tensor:
        return gate.gradient(x, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, g, ctx.gate = inputs
        ctx.save_for_backward(x, g)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor, Tensor, None]:
        by_g, by_x = _Tangent.apply(*ctx.saved_tensors, t, ctx.gate)
        return by_x, by_g, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _Backward.apply(*_batch_first(info.batch_size, in_dims, inputs)), 0


class _Tangent(Function):
    @staticmethod
    def forward(x: Tensor, g: Tensor, t: Tensor, gate: CompiledGate) -> tuple[Tensor, Tensor]:
        by_g, by_x = gate.run("tangent", [x, g, t], [gate.dim_out, gate.dim_in])
        return by_g, by_x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, g, t, ctx.gate = inputs
        ctx.save_for_backward(x, g, t)

    @staticmethod
    def backward(ctx: Any, of_by_g: Tensor, of_by_x: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            x, g, t = as_inputs(ctx.saved_tensors)
            (b,) = torch.autograd.grad(ctx.gate.reference(x), x, g, create_graph=True)
            results = torch.autograd.grad(b, (g, x), t, create_graph=True)
            gradients = torch.autograd.grad(
                results, (x, g, t), (of_by_g, of_by_x), create_graph=True, allow_unused=True
            )
        return *gradients, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        return _Tangent.apply(*_batch_first(info.batch_size, in_dims, inputs)), (0, 0)


def _batch_first(size: int, in_dims: Sequence[int | None], inputs: Sequence[Any]) -> list[Any]:
    """Inputs with the axis of a `torch.vmap` before all others; the gate is the last of them."""
    *tensors, gate = inputs
    return [
        tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        for tensor, dim in zip(tensors, in_dims, strict=False)
    ] + [gate]
