r"""Symmetric powers of features, channel by channel, as polynomials in their components.

With the components :math:`x_i` of all irreps in one channel c, the monomials M of degree 1 to
:math:`\nu`, and weights of the node's species s:

.. math:: y_{k,c} = \sum_p w_{s,p,c} \sum_m C_{p,k,m} M_m(x_{\cdot,c})
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.compiler import kernels_for
from molnet.kernels.exact import Exact
from molnet.kernels.linear.blocks import RowGroups
from molnet.kernels.single import apply_step

if TYPE_CHECKING:
    from molnet.kernels.program import Surroundings


class Piece(NamedTuple):
    """The terms of one path that make one component of the output.

    Attributes:
        path: which one.
        output: which component.
        terms: monomials with their coefficients.
    """

    path: int
    output: int
    terms: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class SymmetricPolynomials:
    """The polynomials of all paths.

    Args:
        channels: C.
        components: of the input, all irreps together; each is C numbers side by side.
        outputs: components of the output, likewise.
        products: each further monomial as an earlier one times a component; the first
            ``components`` monomials are the components themselves.
        pieces: in ascending order of paths.
    """

    channels: int
    components: int
    outputs: int
    products: tuple[tuple[int, int], ...]
    pieces: tuple[Piece, ...]

    symbol = "symmetric_power_step"
    nonlinear = True
    learns = True
    accumulates = False
    packed = None

    @property
    def dim_in(self) -> int:
        """Length of the rows that come in."""
        return self.components * self.channels

    @property
    def dim_out(self) -> int:
        """Length of the rows that go out."""
        return self.outputs * self.channels

    @property
    def paths(self) -> int:
        """How many weights a channel has."""
        return 1 + max((piece.path for piece in self.pieces), default=-1)

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""
        return kernels_for(like) is not None

    def in_pytorch(self, x: Tensor, weight: Tensor, species: RowGroups | None) -> Tensor:
        """The powers in plain PyTorch.

        Args:
            x: features ``[N, components * C]``.
            weight: ``[S, paths * C]``.
            species: the nodes of each species.

        Returns:
            ``[N, outputs * C]``.
        """
        components = x.unflatten(1, (self.components, self.channels)).unbind(1)
        monomials = list(components)
        for parent, factor in self.products:
            monomials.append(monomials[parent] * components[factor])
        matrix, path, output = (constant.like(x) for constant in self._constants)
        sums = torch.stack(monomials, 1).transpose(1, 2) @ matrix  # [N, C, pieces]
        of_nodes = weight.index_select(0, cast(RowGroups, species).group)
        weights = of_nodes.unflatten(1, (self.paths, self.channels))
        of_pieces = sums.transpose(1, 2) * weights.index_select(1, path)
        result = x.new_zeros(len(x), self.outputs, self.channels)
        return result.index_add(1, output, of_pieces).flatten(1)

    def apply(self, x: Tensor, weight: Tensor, around: "Surroundings") -> Tensor:
        """The powers in a program, recorded by autograd."""
        return apply_step(self, x, weight, around.species)

    def struct(self, weight: Tensor | None) -> "SymmetricPowerStruct":
        """``SymmetricPower`` of the C++ source."""
        integers, coefficients, pieces = self._tables
        places = (array.ctypes.data for array in integers)
        place_in, place_out, parent, factor, term = places
        return SymmetricPowerStruct(
            self.channels,
            self.dim_in,
            self.dim_out,
            self.components,
            self.components + len(self.products),
            self.paths,
            self.outputs,
            len(self.pieces),
            place_in,
            place_out,
            parent,
            factor,
            pieces.ctypes.data,
            term,
            coefficients.ctypes.data,
        )

    @cached_property
    def _constants(self) -> tuple[Exact, Exact, Exact]:
        """The matrix from monomials to pieces, and the path and the output of each piece."""
        path, output = (torch.tensor(of_pieces) for of_pieces in zip(*self._places, strict=True))
        return Exact(self._matrix), Exact(path), Exact(output)

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return [(piece.path, piece.output) for piece in self.pieces]

    @cached_property
    def _matrix(self) -> Tensor:
        """From monomials to the sums of pieces, ``[monomials, pieces]``."""
        size = self.components + len(self.products)
        matrix = torch.zeros(size, len(self.pieces), dtype=torch.float64)
        for i, piece in enumerate(self.pieces):
            for monomial, coefficient in piece.terms:
                matrix[monomial, i] = coefficient
        return matrix

    @cached_property
    def _tables(self) -> tuple[list[NDArray[np.int64]], NDArray[np.float64], NDArray[np.int64]]:
        """What the kernels read: places and products, coefficients, pieces ``[pieces, 4]``."""
        counts = [len(piece.terms) for piece in self.pieces]
        ends = np.cumsum(counts, dtype=np.int64)
        rows = zip(self._places, ends - counts, ends, strict=True)
        pieces = np.array([(*place, first, last) for place, first, last in rows], dtype=np.int64)
        terms = [term for piece in self.pieces for term in piece.terms]
        own = [-1] * self.components
        integers = [
            [i * self.channels for i in range(self.components)],
            [i * self.channels for i in range(self.outputs)],
            [*own, *(parent for parent, _ in self.products)],
            [*own, *(factor for _, factor in self.products)],
            [monomial for monomial, _ in terms],
        ]
        coefficients = np.array([coefficient for _, coefficient in terms], dtype=np.float64)
        return [np.array(each, dtype=np.int64) for each in integers], coefficients, pieces


class SymmetricPowerStruct(ctypes.Structure):
    """``SymmetricPower`` of the C++ source."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("channels", "dim_in", "dim_out", "components", "monomials", "paths")
        ),
        *((name, ctypes.c_int64) for name in ("outputs", "pieces")),
        *((name, ctypes.c_void_p) for name in ("place_in", "place_out", "parent", "factor")),
        *((name, ctypes.c_void_p) for name in ("piece", "term", "coefficient")),
    )


def products_of(components: int, degree: int) -> list[tuple[int, ...]]:
    """Monomials of degree 1 to ``degree`` as ascending indices, each after its beginning.

    >>> products_of(2, 2)
    [(0,), (1,), (0, 0), (0, 1), (1, 1)]
    """
    found: list[tuple[int, ...]] = [(i,) for i in range(components)]
    last: Sequence[tuple[int, ...]] = found
    for _ in range(1, degree):
        last = [(*m, i) for m in last for i in range(m[-1], components)]
        found = [*found, *last]
    return found
