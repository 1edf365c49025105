"""The one place that chooses how a convolution is computed."""

import torch
from torch import Tensor

from molnet.kernels import compiled, operators, reference
from molnet.kernels.compiler import USUAL_L, kernels_for
from molnet.kernels.edges import Edges
from molnet.kernels.plan import Plan
from molnet.kernels.weights import Weights


def convolve(
    x: Tensor, harmonics: Tensor, coupling: Tensor, weights: Weights, edges: Edges, plan: Plan
) -> Tensor:
    """Sum over the edges of every node what their senders contribute.

    See :func:`molnet.kernels.reference.convolve` for formula and arguments. On the CPU, in float32
    and float64, up to l = 4, compiled kernels do it; everywhere else the reference does.
    """
    if compiled.available(x, plan, weights.basis.shape[1]):
        return operators.convolve(x, harmonics, coupling, weights, edges, plan)
    return reference.convolve(x, harmonics, coupling, weights, edges, plan)


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
