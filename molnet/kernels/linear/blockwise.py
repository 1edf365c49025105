"""Linear maps between blocks of features as steps, by themselves or in a program.

A kernel reads a block where it lies in the features, and writes its result where it belongs: no
block is copied out, and none is joined. (Autograd's own view, product and concatenation copy every
feature twice.) One call does all blocks.
"""

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from molnet.kernels.compiler import kernels_for
from molnet.kernels.linear.blocks import BlockwiseMap, RowGroups
from molnet.kernels.single import apply_step

if TYPE_CHECKING:
    from molnet.kernels.program import Surroundings


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A map as a step.

    Args:
        map: its blocks.
        of_species: whether each species has weights of its own, ``[S, numel]``, or all nodes the
            same, ``[numel]``.
    """

    map: BlockwiseMap
    of_species: bool = False

    nonlinear = False
    learns = True
    accumulates = True

    @property
    def symbol(self) -> str:
        """The name of its functions in the C++ source."""
        return "species_linear_step" if self.of_species else "linear_step"

    @property
    def dim_in(self) -> int:
        """Length of the rows that come in."""
        return self.map.dim_in

    @property
    def dim_out(self) -> int:
        """Length of the rows that go out."""
        return self.map.dim_out

    @property
    def packed(self) -> BlockwiseMap:
        """The map whose weights are packed."""
        return self.map

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""
        return kernels_for(like) is not None

    def struct(self, weight: Tensor | None) -> ctypes.Structure:
        """Packed weights are all that its functions are told."""
        raise TypeError("the weights of linear maps are packed together")

    def apply(self, x: Tensor, weight: Tensor, around: "Surroundings") -> Tensor:
        """The map in a program, recorded by autograd."""
        return apply_step(self, x, weight, around.species if self.of_species else None)

    def in_pytorch(self, x: Tensor, weight: Tensor, species: RowGroups | None) -> Tensor:
        """The map in plain PyTorch."""
        return self.map.in_pytorch(x, weight, species)
