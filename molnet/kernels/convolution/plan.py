"""What a convolution couples: plain integers, shared by every implementation.

Features are stored with channels contiguous (``ir_mul``): an irrep of dimension ``dim`` and
multiplicity ``mul`` is a block of ``dim * mul`` numbers, seen as ``[dim, mul]``.

A *path* takes input block ``i`` to output block ``o``. On every edge it owns

- one matrix ``M[k, i]`` of ``dim_out × dim_in`` numbers (Clebsch–Gordan coefficients times the
  spherical harmonics of one degree), the same for all channels, and
- one row ``w[c]`` of ``mul_in`` weights.

Up to a factor the three degrees of a path determine its coefficients, and this factor is fixed:
√(2l₃ + 1) times Wigner's 3j symbols. Kernels therefore know a coupling by its degrees.

The matrix of an *isotropic* path, that of the harmonic of l = 0, is a multiple of the identity: one
number.

Output blocks hold the channels of all their paths side by side.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple


class Block(NamedTuple):
    """One irrep of a feature vector: ``dim = 2l + 1`` components of ``mul`` channels."""

    dim: int
    mul: int

    @property
    def size(self) -> int:
        return self.dim * self.mul


class Path(NamedTuple):
    """A coupling of input block ``source`` to output block ``target`` (indices of blocks).

    Attributes:
        degree: l of the harmonics that it takes.
        harmonic: index of the first of them.
    """

    source: int
    target: int
    degree: int
    harmonic: int

    @property
    def isotropic(self) -> bool:
        """Whether the matrix is a multiple of the identity."""
        return self.degree == 0


@dataclass(frozen=True)
class Plan:
    """Input blocks, dimensions of the output blocks, and the paths between them.

    Args:
        inputs: the irreps of the features.
        output_dims: ``2l + 1`` of every output irrep.
        paths: sorted by ``source``; their order is that of the rows of ``w``, of the matrices in
            ``M``, and of the channels in each output block.
    """

    inputs: tuple[Block, ...]
    output_dims: tuple[int, ...]
    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        if list(self.paths) != sorted(self.paths, key=lambda path: path.source):
            raise ValueError(f"paths must be sorted by their input block, got {self.paths}")
        for path in self.paths:
            l_in, l_out = self.inputs[path.source].dim // 2, self.output_dims[path.target] // 2
            if not abs(l_in - path.degree) <= l_out <= l_in + path.degree:
                raise ValueError(f"l = {l_in} and {path.degree} do not couple to {l_out}: {path}")

    @cached_property
    def outputs(self) -> tuple[Block, ...]:
        """Output blocks: each as wide as the channels of all its paths together."""
        widths = [0] * len(self.output_dims)
        for path in self.paths:
            widths[path.target] += self.inputs[path.source].mul
        return tuple(Block(dim, mul) for dim, mul in zip(self.output_dims, widths, strict=True))

    @cached_property
    def l_max(self) -> int:
        """Largest l of what is convolved."""
        dims = [block.dim for block in self.inputs] + list(self.output_dims)
        return max(dims, default=1) // 2

    @cached_property
    def matrix_sizes(self) -> tuple[int, ...]:
        """Numbers of ``M`` on one edge, for each path."""
        return tuple(
            1 if p.isotropic else self.output_dims[p.target] * self.inputs[p.source].dim
            for p in self.paths
        )

    @cached_property
    def weight_sizes(self) -> tuple[int, ...]:
        """Numbers of ``w`` on one edge, for each path."""
        return tuple(self.inputs[p.source].mul for p in self.paths)

    @cached_property
    def matrix_offsets(self) -> tuple[int, ...]:
        """Where the matrix of each path starts in ``M``."""
        return tuple(accumulate(self.matrix_sizes, initial=0))[:-1]

    @cached_property
    def matrix_size(self) -> int:
        """Numbers of ``M`` on one edge."""
        return sum(self.matrix_sizes)

    @cached_property
    def weight_size(self) -> int:
        """Numbers of ``w`` on one edge."""
        return sum(self.weight_sizes)

    @cached_property
    def input_size(self) -> int:
        return sum(block.size for block in self.inputs)

    @cached_property
    def output_size(self) -> int:
        return sum(block.size for block in self.outputs)
