"""Harmonics and spline basis of edge vectors in one compiled call, with their derivatives.

The network sees an edge vector r only through its spherical harmonics Y(r/|r|) and the basis B(|r|)
of its radial splines. Plain PyTorch needs some forty operators for them and hundreds for their
derivatives. It does the second derivatives by r, which training on forces does not need.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.derivatives import Tensors, recorded
from molnet.kernels.engine import as_inputs

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
        rows = torch.empty(len(vectors) if self.num_knots else 0, dtype=torch.int64)
        Y, B = recorded(_WithRows(self, rows), vectors)
        return Y, B, rows

    def run(self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Run a kernel; it fills the outputs."""
        kernels = kernels_for(inputs[0])
        if kernels is None:
            raise RuntimeError("the compiled edge basis was called on a machine without it")
        struct = self.struct
        struct.edges, struct.threads = len(inputs[0]), torch.get_num_threads()
        given = [tensor.contiguous() for tensor in inputs]
        addresses = [tensor.data_ptr() for tensor in (*given, *outputs)]
        getattr(kernels, f"edge_basis_{name}")(
            ctypes.byref(struct), *map(ctypes.c_void_p, addresses)
        )


@dataclass(frozen=True, eq=False)
class _WithRows:
    """See :class:`molnet.kernels.derivatives.ByKernels`; the rows are filled on evaluation."""

    basis: CompiledEdgeBasis
    rows: Tensor

    def evaluate(self, inputs: Tensors) -> tuple[tuple[Tensor, Tensor], Tensors]:
        Y, B = self.basis.new(inputs[0])
        self.basis.run("forward", inputs, [Y, B, self.rows])
        return (Y, B), ()

    def gradients(
        self, inputs: Tensors, kept: Tensors, g: Tensors, to_x: bool, trains: bool
    ) -> list[Tensor]:
        of_vectors = inputs[0].new_empty(inputs[0].shape)
        self.basis.run("backward", [*inputs, *g], [of_vectors])
        return [of_vectors]

    def along(
        self, inputs: Tensors, kept: Tensors, g: Tensors, t: Tensor, to_x: bool
    ) -> list[Tensor | None]:
        slopes = self.basis.new(inputs[0])
        self.basis.run("tangent", [*inputs, t], slopes)
        return [self._by_vectors(inputs, g, t) if to_x else None, *slopes]

    def _by_vectors(self, inputs: Tensors, g: Tensors, t: Tensor) -> Tensor:
        with torch.enable_grad():
            vectors = as_inputs(inputs)
            (v,) = torch.autograd.grad(self.reference(*vectors), vectors, g, create_graph=True)
            return torch.autograd.grad(v, vectors, t)[0]

    def reference(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.basis.reference(*inputs)


class EdgeBasisStruct(ctypes.Structure):
    """``EdgeBasis`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("edges", "l_max", "normalize", "knots")),
        ("intervals_per_length", ctypes.c_double),
        ("threads", ctypes.c_int64),
        ("poles", ctypes.c_void_p),
    )
