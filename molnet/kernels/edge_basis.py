"""Harmonics and spline basis of edge vectors in one compiled call, with their derivatives.

The network sees an edge vector r only through its spherical harmonics Y(r/|r|) and the basis B(|r|)
of its radial splines. With gradients g of them:

==================  ==============================================  =========================
function            computes                                        its backward pass uses
==================  ==============================================  =========================
:class:`_Basis`     Y, B and the row n of the spline's table        :class:`_Backward`
:class:`_Backward`  v = ∂(g·(Y, B))/∂r                              :class:`_Tangent`
:class:`_Tangent`   ∂(v·t)/∂g: the slopes of Y and B along t        PyTorch, differentiated
==================  ==============================================  =========================

Plain PyTorch needs some forty operators for the first and hundreds for the others. It does the
second derivatives by r, which training on forces does not need.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.engine import Function, as_inputs, wanted_gradients

LARGEST_L = 4


@dataclass(frozen=True, eq=False)
class CompiledEdgeBasis:
    """The functions of edge vectors that a network starts from.

    Args:
        poles: what the harmonics of degree l = 0, 1, ... are at the pole y, where only m = 0 is
            left: their normalisation.
        normalize: whether the harmonics are those of r/|r|, or of r itself.
        num_knots: intervals of the spline up to the cutoff; none for harmonics alone.
        cutoff: Å.
        reference: Y ``[E, (l_max + 1)²]`` and B ``[E, 4]`` (``[E, 0]`` without knots) in plain
            PyTorch, for derivatives beyond the second.
    """

    poles: tuple[float, ...]
    normalize: bool
    num_knots: int
    cutoff: float
    reference: Callable[[Tensor], tuple[Tensor, Tensor]]

    @property
    def l_max(self) -> int:
        """Highest degree of the harmonics."""
        return len(self.poles) - 1

    @cached_property
    def _c_poles(self) -> Any:
        return (ctypes.c_double * len(self.poles))(*self.poles)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = self.poles, self.normalize, self.num_knots, self.cutoff, self.reference
        return CompiledEdgeBasis, fields  # no addresses

    @property
    def struct(self) -> "EdgeBasisStruct":
        """``EdgeBasis`` of the C++ source, but for edges and threads."""
        return EdgeBasisStruct(
            l_max=self.l_max,
            normalize=self.normalize,
            knots=self.num_knots,
            intervals_per_length=self.num_knots / self.cutoff,
            poles=ctypes.addressof(self._c_poles),
        )

    def new(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Room for Y and B."""
        Y = vectors.new_empty(len(vectors), len(self.poles) ** 2)
        return Y, vectors.new_empty(len(vectors), 4 if self.num_knots else 0)

    def serves(self, vectors: Tensor) -> bool:
        """Whether there are kernels for these vectors here."""
        return self.l_max <= LARGEST_L and kernels_serve(vectors)

    def __call__(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Harmonics, spline basis and rows ``[E]`` of vectors ``[E, 3]``."""
        return _Basis.apply(vectors, self)

    def evaluate(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same, not recorded for autograd."""
        Y, B = self.new(vectors)
        rows = torch.empty(len(vectors) if self.num_knots else 0, dtype=torch.int64)
        self.run("forward", [vectors], [Y, B, rows])
        return Y, B, rows

    def gradient(self, vectors: Tensor, of_Y: Tensor, of_B: Tensor) -> Tensor:
        """From the gradients of Y and B that of the vectors, not recorded for autograd."""
        result = vectors.new_empty(vectors.shape)
        self.run("backward", [vectors, of_Y, of_B], [result])
        return result

    def tangent(self, vectors: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The slopes of Y and B along t ``[E, 3]``, not recorded for autograd."""
        along_Y, along_B = self.new(vectors)
        self.run("tangent", [vectors, t], [along_Y, along_B])
        return along_Y, along_B

    def run(self, name: str, inputs: list[Tensor], outputs: list[Tensor | None]) -> None:
        """Run a kernel; it fills the outputs that are not None."""
        kernels = kernels_for(inputs[0])
        if kernels is None:
            raise RuntimeError("the compiled edge basis was called on a machine without it")
        struct = self.struct
        struct.edges, struct.threads = len(inputs[0]), torch.get_num_threads()
        given = [tensor.contiguous() for tensor in inputs]
        addresses = [None if t is None else t.data_ptr() for t in (*given, *outputs)]
        getattr(kernels, f"edge_basis_{name}")(
            ctypes.byref(struct), *map(ctypes.c_void_p, addresses)
        )


class EdgeBasisStruct(ctypes.Structure):
    """``EdgeBasis`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("edges", "l_max", "normalize", "knots")),
        ("intervals_per_length", ctypes.c_double),
        ("threads", ctypes.c_int64),
        ("poles", ctypes.c_void_p),
    )


class _Basis(Function):
    @staticmethod
    def forward(vectors: Tensor, basis: CompiledEdgeBasis) -> tuple[Tensor, Tensor, Tensor]:
        return basis.evaluate(vectors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        vectors, ctx.basis = inputs
        ctx.save_for_backward(vectors)
        ctx.mark_non_differentiable(output[2])

    @staticmethod
    def backward(ctx: Any, of_Y: Tensor, of_B: Tensor, of_rows: Any) -> tuple[Tensor | None, None]:
        if not any(wanted_gradients(ctx)):
            return None, None
        return _Backward.apply(*ctx.saved_tensors, of_Y, of_B, ctx.basis), None


class _Backward(Function):
    @staticmethod
    def forward(vectors: Tensor, of_Y: Tensor, of_B: Tensor, basis: CompiledEdgeBasis) -> Tensor:
        return basis.gradient(vectors, of_Y, of_B)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.basis = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        if next(wanted_gradients(ctx)):
            return *_differentiated(ctx.basis, ctx.saved_tensors, t), None
        vectors, *_ = ctx.saved_tensors
        return None, *_Tangent.apply(vectors, t, ctx.basis), None


class _Tangent(Function):
    @staticmethod
    def forward(vectors: Tensor, t: Tensor, basis: CompiledEdgeBasis) -> tuple[Tensor, Tensor]:
        return basis.tangent(vectors, t)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        vectors, t, ctx.basis = inputs
        ctx.save_for_backward(vectors, t)

    @staticmethod
    def backward(ctx: Any, of_Y: Tensor, of_B: Tensor) -> tuple[Tensor | None, ...]:
        vectors, t = ctx.saved_tensors
        v = _Backward.apply(vectors, of_Y, of_B, ctx.basis)
        by_vectors = None
        if next(wanted_gradients(ctx)):
            by_vectors, *_ = _differentiated(ctx.basis, (vectors, of_Y, of_B), t)
        return by_vectors, v, None


def _differentiated(
    basis: CompiledEdgeBasis, inputs: Sequence[Tensor], t: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of v·t by r and by the gradients of Y and B, in plain PyTorch."""
    with torch.enable_grad():
        vectors, *gradients = as_inputs(inputs)
        (v,) = torch.autograd.grad(basis.reference(vectors), vectors, gradients, create_graph=True)
        return torch.autograd.grad(v, (vectors, *gradients), t, create_graph=True)
