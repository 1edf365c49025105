"""The one place that chooses how a convolution is computed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molnet.kernels.compiler import USUAL_L, kernels_for
from molnet.kernels.convolution import calls, operators, reference
from molnet.kernels.convolution.plan import Plan
from molnet.kernels.convolution.weights import Weights
from molnet.kernels.edges import Edges
from molnet.kernels.exact import Exact

if TYPE_CHECKING:
    from molnet.kernels.program import Surroundings

TERMS_OF_SPLINE = 4
"""Rows of the table that make the weights of an edge, with a cubic spline."""


def convolve(
    x: Tensor, harmonics: Tensor, coupling: Tensor, weights: Weights, edges: Edges, plan: Plan
) -> Tensor:
    """Sum over the edges of every node what their senders contribute.

    Formula and arguments: :func:`molnet.kernels.convolution.reference.convolve`. On the CPU, in
    float32 and float64, up to l = 4, compiled kernels do it; everywhere else the reference does.
    """
    if calls.available(x, plan, weights.basis.shape[1]):
        return operators.convolve(x, harmonics, coupling, weights, edges, plan)
    return reference.convolve(x, harmonics, coupling, weights, edges, plan)


@dataclass(frozen=True, eq=False)
class Convolving:
    """A convolution as a step of a program; what it learns is the table of its radial functions.

    Args:
        plan: irreps and paths.
        coupling: C, ``[H, plan.matrix_size]``.
    """

    plan: Plan
    coupling: Exact

    symbol = "convolution_step"
    nonlinear = True
    learns = True
    accumulates = False
    packed = None

    @property
    def dim_in(self) -> int:
        """Length of the rows that come in."""
        return self.plan.input_size

    @property
    def dim_out(self) -> int:
        """Length of the rows that go out."""
        return self.plan.output_size

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""
        return calls.available(like, self.plan, TERMS_OF_SPLINE)

    def struct(self, weight: Tensor | None) -> calls.ConvolutionStruct:
        """``Convolution`` of the C++ source, but for what depends on the graph."""
        if weight is None:
            raise ValueError("expected the table of the radial functions, got None")
        coupling = self.coupling.like(weight)
        return calls.ConvolutionStruct.of(self.plan, coupling, weight, TERMS_OF_SPLINE)

    def apply(self, x: Tensor, weight: Tensor, around: "Surroundings") -> Tensor:
        """The same, recorded by autograd."""
        of_paths, coupling = Weights(around.basis, weight, around.rows), self.coupling.like(x)
        return convolve(x, around.harmonics, coupling, of_paths, around.edges, self.plan)


def backend(
    device: torch.device | str, dtype: torch.dtype = torch.float32, l_max: int = USUAL_L
) -> str:
    """Which implementation serves a device, in words; what it needs is compiled now.

    Args:
        device, dtype: of the features.
        l_max: largest l among what is convolved.
    """
    on_cpu = torch.device(device).type == "cpu"
    compiles = on_cpu and kernels_for(torch.empty(0, dtype=dtype), l_max) is not None
    return "compiled convolution" if compiles else "convolution in plain PyTorch"
