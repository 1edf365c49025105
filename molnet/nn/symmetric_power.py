"""Products of a node's features with themselves, channel by channel."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molnet.kernels.linear.blocks import RowGroups
from molnet.kernels.single import apply_step
from molnet.kernels.symmetric_power import Piece, SymmetricPolynomials, products_of
from molnet.o3.irreps import Irreps
from molnet.o3.layout import check_features
from molnet.o3.reduced_tensor_products import change_of_basis


class SymmetricPower(nn.Module):
    r"""All symmetric products of up to :math:`\nu` features of a channel, reduced to irreps.

    .. math::
        B_{a,k,c} = \sum_{n=1}^{\nu} \sum_p w^{(n)}_{s(a),p,c}
            \sum_{i_1 \dots i_n} Q^{(n,p)}_{k,i_1 \dots i_n} A_{a,i_1,c} \cdots A_{a,i_n,c}

    Q is an orthonormal basis of the symmetric tensors of degree n that transform as an irrep of the
    output. With sums over neighbours as features A, a power of degree n describes n neighbours at
    once: these are the products of MACE (Batatia et al., NeurIPS 2022, eq. 10), of the atomic
    cluster expansion. Each polynomial is scaled to unit variance for normal features.

    Args:
        num_species: each has weights of its own.
        irreps_in: of equal multiplicities C, each irrep once.
        irreps_out: irreps among the products, likewise; others come out as zeros.
        degree: the highest, :math:`\nu`, at least 1.

    Raises:
        ValueError: multiplicities differ, an irrep occurs twice, or the degree is below 1.

    >>> power = SymmetricPower(3, "8x0e+8x1o", "8x0e+8x1o", degree=3)
    >>> power
    SymmetricPower(8x0e+8x1o -> 8x0e+8x1o | degree 3, 9 paths, 216 weights)
    """

    def __init__(
        self, num_species: int, irreps_in: Irreps | str, irreps_out: Irreps | str, degree: int
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.degree = degree
        if degree < 1:
            raise ValueError(f"expected a degree of at least 1, got {degree}")
        muls = {mul for irreps in (self.irreps_in, self.irreps_out) for mul, _ in irreps}
        for irreps in (self.irreps_in, self.irreps_out):
            if len(muls) != 1 or len({ir for _, ir in irreps}) < len(irreps):
                raise ValueError(
                    f"expected different irreps of one multiplicity, got {self.irreps_in} and "
                    f"{self.irreps_out}"
                )
        self.polynomials = self._polynomials(muls.pop())
        numel = self.polynomials.paths * self.polynomials.channels
        self.weight = nn.Parameter(torch.randn(num_species, numel))

    def weight_views(self) -> dict[tuple[int, str, int], Tensor]:
        """The weights of each path, views ``[num_species, C]``.

        A path is named by its degree, its irrep, and its place among those of this degree and
        irrep, which do not depend on the other irreps of the output.
        """
        of_paths = self.weight.unflatten(1, (len(self.paths), -1)).unbind(1)
        seen: Counter[tuple[int, str]] = Counter()
        views = {}
        for path, view in zip(self.paths, of_paths, strict=True):
            views[(*path, seen[path])] = view
            seen[path] += 1
        return views

    def _polynomials(self, channels: int) -> SymmetricPolynomials:
        single = Irreps([(1, ir) for _, ir in self.irreps_in])
        outputs = Irreps([(1, ir) for _, ir in self.irreps_out])
        monomials = products_of(single.dim, self.degree)
        index = {monomial: i for i, monomial in enumerate(monomials)}
        products = [(index[m[:-1]], m[-1]) for m in monomials[single.dim :]]
        irreps = {
            part.start: str(ir) for (_, ir), part in zip(outputs, outputs.slices(), strict=True)
        }
        blocks, paths = [], []
        for n in range(1, self.degree + 1):
            for part, basis in _bases(single, outputs, n, monomials):
                blocks.append((part.start, basis))
                paths.append((n, irreps[part.start]))
        self.paths = tuple(paths)
        # All paths to an irrep share its variance.
        counts = Counter(start for start, _ in blocks)
        pieces = []
        for path, (start, basis) in enumerate(blocks):
            basis = basis / math.sqrt(_variance(basis[0], monomials) * counts[start])
            for k, row in enumerate(basis):
                terms = tuple((int(m), float(row[m])) for m in np.flatnonzero(np.abs(row) > 1e-9))
                pieces.append(Piece(path, start + k, terms))
        return SymmetricPolynomials(
            channels, single.dim, outputs.dim, tuple(products), tuple(pieces)
        )

    def as_step(self) -> SymmetricPolynomials:
        """What :meth:`forward` does, as a step for kernels."""
        return self.polynomials

    def forward(self, x: Tensor, species: RowGroups) -> Tensor:
        """Powers of features ``[N, irreps_in.dim]`` in layout ``ir_mul``.

        Args:
            x: features.
            species: the nodes of each species.

        Returns:
            ``[N, irreps_out.dim]`` in layout ``ir_mul``.
        """
        check_features(x, self.irreps_in, "features of SymmetricPower")
        return apply_step(self.polynomials, x, self.weight, species)

    def extra_repr(self) -> str:
        return (
            f"{self.irreps_in} -> {self.irreps_out} | degree {self.degree}, "
            f"{self.polynomials.paths} paths, {self.weight.numel()} weights"
        )


def _bases(
    single: Irreps, outputs: Irreps, degree: int, monomials: list[tuple[int, ...]]
) -> list[tuple[slice, NDArray[np.float64]]]:
    """Symmetric tensors of one degree: where each goes, and its rows ``[2l + 1, monomials]``."""
    places = dict(zip((ir for _, ir in outputs), outputs.slices(), strict=True))
    if degree == 1:
        Q, irreps = np.eye(single.dim), single
    else:
        indices = "ijklmn"[:degree]
        swaps = (f"{indices[1]}{indices[0]}{indices[2:]}", f"{indices[1:]}{indices[0]}")
        formula = "=".join([indices, *dict.fromkeys(swaps)])
        kept = tuple(ir for _, ir in outputs)
        irreps, Q = change_of_basis(formula, (single,) * degree, kept)  # exact in float64
    # A monomial gathers the numbers of a tensor at all orders of its indices.
    flat = np.zeros((len(Q), len(monomials)))
    for column, monomial in enumerate(monomials):
        if len(monomial) == degree:
            for order in set(permutations(monomial)):
                flat[:, column] += Q.transpose()[order[::-1]]
    found, row = [], 0
    for mul, ir in irreps:
        for _ in range(mul):
            if ir in places:
                found.append((places[ir], flat[row : row + ir.dim]))
            row += ir.dim
    return found


def _variance(polynomial: NDArray[np.float64], monomials: list[tuple[int, ...]]) -> float:
    """Second moment of a homogeneous polynomial of independent normal numbers."""
    terms = [(Counter(monomials[m]), polynomial[m]) for m in np.flatnonzero(polynomial)]
    total = 0.0
    for first, a in terms:
        for second, b in terms:
            powers = (first + second).values()
            if all(power % 2 == 0 for power in powers):
                total += a * b * math.prod(math.prod(range(1, power, 2)) for power in powers)
    return total
