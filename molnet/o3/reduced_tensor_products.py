"""Tensors with index symmetries, such as T_ij = T_ji, reduced to irreps."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.o3.constants import Constants
from molnet.o3.irrep import Irrep, IrrepLike
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Layout, change_layout
from molnet.o3.weights import forget_when_loading
from molnet.o3.wigner import wigner_3j_array

SignedPermutations = set[tuple[int, tuple[int, ...]]]
Filter = tuple[Irrep, ...] | None


class ReducedTensorProducts(torch.nn.Module):
    """Product of vectors x ⊗ y ⊗ …, reduced to the irreps that its index symmetries allow.

    A formula such as `ijk=jik=-ikj` equates a tensor with signed permutations of itself, and with
    all that follow from these. The tensors that obey it form a representation; `change_of_basis` Q
    is an orthonormal basis of it, ordered by irreps:

        out_z = Σ_ij… Q_z,ij… x_i y_j …

    The basis is made of couplings in the order of the indices (Wigner 3j symbols); where an irrep
    occurs several times, by Gram–Schmidt on the projections of these, as e3nn does.

    Args:
        formula: index symmetries, e.g. "ij=ji", "ij=-ji", "ijkl=jikl=ijlk=klij".
        filter_ir_out: irreps to keep in the output; all by default.
        filter_ir_mid: irreps to allow in the result of each coupling; all by default.
        eps: numbers below it count as zero.
        layout: order of components in the inputs and the output.
        irreps: irreps of each index, e.g. `i="1o"`; indices that a permutation exchanges may be
            left out.

    Raises:
        ValueError: if the formula is no set of permutations, or the irreps do not fit it.

    >>> product = ReducedTensorProducts("ij=-ji", i="1o")
    >>> product
    ReducedTensorProducts(
        in: 1x1o times 1x1o
        out: 1x1e
    )
    >>> x, y = torch.randn(2, 10, 3)
    >>> torch.allclose(product(x, y), torch.linalg.cross(x, y) / 2**0.5, atol=1e-6)
    True
    >>> ReducedTensorProducts("ijkl=jikl=ikjl=ijlk", i="1e").irreps_out
    1x0e+1x2e+1x4e
    """

    def __init__(
        self,
        formula: str,
        filter_ir_out: Iterable[IrrepLike] | None = None,
        filter_ir_mid: Iterable[IrrepLike] | None = None,
        eps: float = 1e-9,
        *,
        layout: Layout = "mul_ir",
        **irreps: IrrepsLike,
    ) -> None:
        super().__init__()
        indices, symmetries = _symmetry_group(formula)
        by_index = _irreps_by_index(indices, symmetries, irreps)
        self.irreps_in = [by_index[index] for index in indices]
        self.irreps_out, Q = change_of_basis(
            formula, tuple(self.irreps_in), _filter(filter_ir_out), _filter(filter_ir_mid), eps
        )
        for axis, irreps_here in enumerate([self.irreps_out, *self.irreps_in]):
            order = change_layout(torch.arange(irreps_here.dim), irreps_here, "mul_ir", layout)
            Q = Q.take(order.numpy(), axis)
        self.layout = layout
        self._change_of_basis = Constants([torch.tensor(Q)])
        forget_when_loading(self, constants=["*"])

    @property
    def change_of_basis(self) -> Tensor:
        """Q, [irreps_out.dim, irreps_in[0].dim, irreps_in[1].dim, …]."""
        return self._change_of_basis[0]

    def forward(self, *xs: Tensor) -> Tensor:
        """Reduced product [..., irreps_out.dim] of one tensor [..., irreps_in[i].dim] per index."""
        shapes = [list(x.shape) for x in xs]
        if [shape[-1:] for shape in shapes] != [[irreps.dim] for irreps in self.irreps_in]:
            expected = ", ".join(f"[..., {irreps.dim}]" for irreps in self.irreps_in)
            raise ValueError(f"expected tensors of shapes {expected}, got shapes {shapes}")
        product = xs[0]
        for x in xs[1:]:
            product = (product[..., :, None] * x[..., None, :]).flatten(-2)
        return product @ self.change_of_basis.flatten(1).t()

    def __repr__(self) -> str:
        irreps_in = " times ".join(map(repr, self.irreps_in))
        return f"{type(self).__name__}(\n    in: {irreps_in}\n    out: {self.irreps_out}\n)"


@cache
def change_of_basis(
    formula: str,
    irreps_in: tuple[Irreps, ...],
    filter_ir_out: Filter = None,
    filter_ir_mid: Filter = None,
    eps: float = 1e-9,
) -> tuple[Irreps, NDArray[np.float64]]:
    """`irreps_out` and the matrix Q of `ReducedTensorProducts`, in the layout "mul_ir"."""
    _, symmetries = _symmetry_group(formula)
    couplings: dict[Irrep, list[NDArray[np.float64]]] = {}
    for ir, basis in _couplings(irreps_in, filter_ir_mid):
        if filter_ir_out is None or ir in filter_ir_out:
            couplings.setdefault(ir, []).append(basis)

    blocks = [np.zeros((0, *(irreps.dim for irreps in irreps_in)))]
    irreps_out = []
    for ir, bases in couplings.items():
        # A rotation mixes the components of an irrep but not its copies, so that one component of
        # each copy decides which combinations of copies are symmetric.
        first = np.stack([basis[0] for basis in bases])
        symmetric = sum(
            sign * first.transpose(0, *(1 + axis for axis in permutation))
            for sign, permutation in symmetries
        ) / len(symmetries)
        change = (first - symmetric).reshape(len(bases), -1) @ first.reshape(len(bases), -1).T
        eigenvalues, vectors = np.linalg.eigh(change)
        unchanged = vectors[:, eigenvalues < eps]
        for combination in _orthonormal_rows(unchanged @ unchanged.T, eps):
            block = np.tensordot(combination, np.stack(bases), axes=1)
            blocks.append(block * np.sqrt(ir.dim / np.square(block).sum()))
            irreps_out.append((1, ir))
    return Irreps(irreps_out).simplify(), np.concatenate(blocks)


def _couplings(
    irreps_in: tuple[Irreps, ...], filter_ir_mid: Filter
) -> list[tuple[Irrep, NDArray[np.float64]]]:
    """All irreps in the product, each with its orthonormal basis [2l + 1, dim_1, dim_2, …]."""
    *left, last = irreps_in
    parts = [
        (ir, slice(here.start + u * ir.dim, here.start + (u + 1) * ir.dim))
        for (mul, ir), here in zip(last, last.slices(), strict=True)
        for u in range(mul)
    ]
    if not left:
        found = [(ir, np.eye(last.dim)[part]) for ir, part in parts]
        return sorted(found, key=lambda item: item[0])

    found = []
    for ir_left, basis in _couplings(tuple(left), filter_ir_mid):
        for ir, part in parts:
            for ir_out in ir_left * ir:
                if filter_ir_mid is None or ir_out in filter_ir_mid:
                    C = np.sqrt(ir_out.dim) * wigner_3j_array(ir_out.l, ir_left.l, ir.l)
                    coupled = np.zeros((ir_out.dim, *basis.shape[1:], last.dim))
                    coupled[..., part] = np.einsum("kab,a...->k...b", C, basis)
                    found.append((ir_out, coupled))
    return sorted(found, key=lambda item: item[0])


def _orthonormal_rows(matrix: NDArray[np.float64], eps: float) -> list[NDArray[np.float64]]:
    """Gram–Schmidt over the rows; the first entry of each result is positive."""
    rows: list[NDArray[np.float64]] = []
    for row in matrix:
        for other in rows:
            row = row - (row @ other) * other
        length = np.linalg.norm(row)
        if length > 2 * eps:
            row = np.where(np.abs(row) < eps * length, 0, row / length)
            rows.append(row * np.sign(row[np.flatnonzero(row)[0]]))
    return rows


@cache
def _symmetry_group(formula: str) -> tuple[str, SignedPermutations]:
    """The indices, and all signed permutations that follow from the formula."""
    first, *others = (term.strip() for term in formula.split("="))
    indices = first.lstrip("-")
    if first != indices or len(set(indices)) != len(indices) or not indices.isalpha():
        raise ValueError(f'expected different letters, as in "ij=ji", got the formula "{formula}"')
    group: SignedPermutations = {(1, tuple(range(len(indices))))}
    for term in others:
        sign, letters = (-1, term[1:]) if term.startswith("-") else (1, term)
        if sorted(letters) != sorted(indices):
            raise ValueError(f'"{letters}" is no permutation of "{indices}", in "{formula}"')
        group.add((sign, tuple(letters.index(index) for index in indices)))
    while True:
        products = {(s * t, tuple(p[i] for i in q)) for s, p in group for t, q in group}
        if products == group:
            return indices, group
        group = products


def _irreps_by_index(
    indices: str, symmetries: SignedPermutations, given: dict[str, IrrepsLike]
) -> dict[str, Irreps]:
    """Irreps of every index, completed by the permutations."""
    unknown = set(given) - set(indices)
    if unknown:
        raise ValueError(f'irreps given for {sorted(unknown)}, which "{indices}" does not hold')
    found: dict[str, Irreps] = {}
    for axis, index in enumerate(indices):
        exchanged = {indices[permutation[axis]] for _, permutation in symmetries}
        choices = {Irreps(given[other]) for other in exchanged if other in given}
        if len(choices) != 1:
            which = ", ".join(f'"{irreps}"' for irreps in sorted(choices)) or "none"
            raise ValueError(
                f'expected one choice of irreps for index "{index}" and those it is exchanged with '
                f"({', '.join(sorted(exchanged))}), got {which}"
            )
        found[index] = choices.pop()
    return found


def _filter(irreps: Iterable[IrrepLike] | None) -> Filter:
    return None if irreps is None else tuple(Irrep(ir) for ir in irreps)
