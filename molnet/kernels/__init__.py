"""The fused convolution: its description (:mod:`plan`) and its implementations."""

from molnet.kernels.plan import Block, Path, Plan
from molnet.kernels.reference import convolve

__all__ = ["Block", "Path", "Plan", "convolve"]
