"""The fused convolution: its description (:mod:`plan`) and its implementations."""

from molnet.kernels.convolve import backend, convolve
from molnet.kernels.edges import Edges
from molnet.kernels.plan import Block, Path, Plan
from molnet.kernels.weights import Weights

__all__ = ["Block", "Edges", "Path", "Plan", "Weights", "backend", "convolve"]
