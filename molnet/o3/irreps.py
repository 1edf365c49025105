"""Representations of O(3) as values: `Irreps`, a direct sum of irreps.

They hold no data; they say how the last axis of a feature tensor transforms. Names, printed forms
and results are those of e3nn (Geiger & Smidt, arXiv:2207.09453).
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, Self, SupportsIndex, TypeAlias, overload

import torch
from torch import Tensor

from molnet.o3.irrep import Irrep, IrrepLike, MulIrrep, Representation


class SortedIrreps(NamedTuple):
    """What `Irreps.sort` returns: term i of the unsorted irreps is term `p[i]` of `irreps`."""

    irreps: "Irreps"
    p: tuple[int, ...]
    inv: tuple[int, ...]


class Irreps(tuple[MulIrrep, ...], Representation):
    """Direct sum of irreps of O(3): the type of the last axis of a feature tensor.

    Accepts a string (`"16x0e + 8x1o"`), one Irrep or MulIrrep, or an iterable of terms, each a
    string, an Irrep or a pair (mul, irrep). A sequence of `MulIrrep`.

    Raises:
        ValueError: if a term cannot be understood; the message names the term.

    >>> x = Irreps([(100, (0, 1)), (50, (1, 1))])
    >>> x, x.dim, x.num_irreps, x.lmax
    (100x0e+50x1e, 250, 150, 1)
    >>> Irreps("16x0e + 8x1o")[1], Irreps("2x1e") * 2, Irreps("0e") + "1o"
    (8x1o, 2x1e+2x1e, 1x0e+1x1o)
    >>> "2e" in Irreps("0e + 2e"), Irreps("1o + 0e + 3x1o").count("1o"), Irreps("")
    (True, 4, )
    """

    def __new__(cls, irreps: "IrrepsLike" = None) -> Self:
        if irreps is None:
            terms: Iterable[Any] = ()
        elif isinstance(irreps, str):
            terms = irreps.split("+") if irreps.strip() else ()
        elif isinstance(irreps, Irrep | MulIrrep):
            terms = (irreps,)
        elif isinstance(irreps, Iterable):
            terms = irreps
        else:
            raise ValueError(f'expected irreps such as "16x0e + 8x1o", got {irreps!r}')
        try:
            return super().__new__(cls, (MulIrrep(term) for term in terms))
        except ValueError as error:
            raise ValueError(f"cannot read irreps {irreps!r}: {error}") from None

    @staticmethod
    def spherical_harmonics(lmax: int, p: int = -1) -> "Irreps":
        """Irreps of (Y^0, …, Y^lmax) of a vector (p = −1) or a pseudovector (p = +1).

        >>> Irreps.spherical_harmonics(3), Irreps.spherical_harmonics(2, p=1)
        (1x0e+1x1o+1x2e+1x3o, 1x0e+1x1e+1x2e)
        """
        return Irreps([(1, (l, p**l)) for l in range(lmax + 1)])

    @property
    def dim(self) -> int:
        """Total dimension."""
        return sum(term.dim for term in self)

    @property
    def num_irreps(self) -> int:
        """Sum of the multiplicities."""
        return sum(mul for mul, _ in self)

    @property
    def ls(self) -> list[int]:
        """Degree of each single irrep, multiplicities written out."""
        return [ir.l for mul, ir in self for _ in range(mul)]

    @property
    def lmax(self) -> int:
        """Largest degree present.

        Raises:
            ValueError: if no irrep is present.
        """
        if self.num_irreps == 0:
            raise ValueError(f'irreps "{self}" hold no irrep, so they have no largest degree')
        return max(self.ls)

    def count(self, ir: IrrepLike) -> int:
        """Total multiplicity of the irrep `ir`."""
        ir = Irrep(ir)
        return sum(mul for mul, other in self if other == ir)

    def is_scalar(self) -> bool:
        """Whether every irrep present is `0e`.

        >>> Irreps("3x0e + 0x1o").is_scalar(), Irreps("0e + 0o").is_scalar()
        (True, False)
        """
        return all(ir.is_scalar() for mul, ir in self if mul > 0)

    def slices(self) -> list[slice]:
        """Where each term lies on the feature axis.

        >>> Irreps("2x0e + 1e").slices()
        [slice(0, 2, None), slice(2, 5, None)]
        """
        ends = itertools.accumulate(term.dim for term in self)
        return [slice(end - term.dim, end) for term, end in zip(self, ends, strict=True)]

    @property
    def slice_by_mul(self) -> "_SliceByMul":
        """Cut by counting single irreps.

        Empty terms within the cut and at its ends are kept; an empty cut inside a term leaves an
        empty term.

        >>> Irreps("3x1e + 2x0e").slice_by_mul[1:4]
        2x1e+1x0e
        >>> irreps = Irreps("2x0e + 0x1o + 2x2e")
        >>> irreps.slice_by_mul[:2], irreps.slice_by_mul[3:], irreps.slice_by_mul[3:3]
        (2x0e+0x1o, 1x2e, 0x2e)
        """
        return _SliceByMul(self)

    def sort(self) -> SortedIrreps:
        """Stable sort by degree, then odd before even, with the permutation and its inverse.

        >>> irreps, p, inv = Irreps("2o + 1e + 0e + 1e").sort()
        >>> irreps, p, inv
        (1x0e+1x1e+1x1e+1x2o, (3, 1, 0, 2), (2, 1, 3, 0))
        """
        inv = sorted(range(len(self)), key=lambda i: self[i].ir)
        p = sorted(range(len(self)), key=inv.__getitem__)
        return SortedIrreps(Irreps(self[i] for i in inv), tuple(p), tuple(inv))

    def simplify(self) -> "Irreps":
        """Merge adjacent terms of the same irrep and drop empty ones; the order is kept.

        >>> Irreps("1e + 1e + 0x2e + 0e + 1e").simplify()
        2x1e+1x0e+1x1e
        """
        runs = itertools.groupby(self.remove_zero_multiplicities(), key=lambda term: term.ir)
        return Irreps((sum(mul for mul, _ in run), ir) for ir, run in runs)

    def regroup(self) -> "Irreps":
        """Sort, then simplify: each irrep appears once.

        >>> Irreps("1e + 0e + 1e + 0x2e").regroup()
        1x0e+2x1e
        """
        return self.sort().irreps.simplify()

    def remove_zero_multiplicities(self) -> "Irreps":
        """Drop the terms of multiplicity zero.

        >>> Irreps("4x0e + 0x1o + 2x3e").remove_zero_multiplicities()
        4x0e+2x3e
        """
        return Irreps(term for term in self if term.mul > 0)

    def filter(
        self,
        keep: "IrrepsLike | Callable[[MulIrrep], bool]" = None,
        *,
        drop: "IrrepsLike | Callable[[MulIrrep], bool]" = None,
        lmax: int | None = None,
    ) -> "Irreps":
        """The terms whose irrep is in `keep`, or not in `drop`, or of degree up to `lmax`.

        `keep` and `drop` are irreps (multiplicities do not matter) or a function of the term.

        Raises:
            ValueError: if more than one criterion is given.

        >>> x = Irreps("1e + 2e + 0e")
        >>> x.filter(["0e", "1e"]), x.filter(drop="2e + 2x1e"), x.filter(lmax=1)
        (1x1e+1x0e, 1x0e, 1x1e+1x0e)
        """
        given = [n for n, c in (("keep", keep), ("drop", drop), ("lmax", lmax)) if c is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of keep, drop and lmax, got {' and '.join(given)}")
        if keep is not None:
            kept = _criterion(keep)
            return Irreps(term for term in self if kept(term))
        if drop is not None:
            dropped = _criterion(drop)
            return Irreps(term for term in self if not dropped(term))
        return self if lmax is None else Irreps(term for term in self if term.ir.l <= lmax)

    def randn(
        self,
        *size: int,
        normalization: Literal["component", "norm"] = "component",
        requires_grad: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Random features: normal components, or irreps of norm 1 in random directions.

        Args:
            size: shape of the result; `-1` marks the feature axis, of length `self.dim`.

        Raises:
            ValueError: if `size` does not hold one `-1`, or the normalization is unknown.

        >>> Irreps("5x0e + 10x1o").randn(5, -1, 5, normalization="norm").shape
        torch.Size([5, 35, 5])
        """
        if size.count(-1) != 1:
            raise ValueError(f"expected a size with one -1 for the feature axis, got {size}")
        if normalization not in ("component", "norm"):
            raise ValueError(f'normalization must be "component" or "norm", got {normalization!r}')
        axis = size.index(-1)
        shape = (*size[:axis], self.dim, *size[axis + 1 :])
        x = torch.randn(shape, dtype=dtype, device=device)
        if normalization == "norm":
            for (mul, ir), here in zip(self, self.slices(), strict=True):
                block = x.narrow(axis, here.start, mul * ir.dim).unflatten(axis, (mul, ir.dim))
                block /= block.norm(dim=axis + 1, keepdim=True)
        return x.requires_grad_(requires_grad)

    def D_from_angles(
        self, alpha: Tensor, beta: Tensor, gamma: Tensor, k: Tensor | None = None
    ) -> Tensor:
        """Block-diagonal matrix of the representation; see `Representation.D_from_angles`."""
        alpha, beta, gamma = torch.broadcast_tensors(alpha, beta, gamma)
        batch = alpha.shape if k is None else torch.broadcast_shapes(alpha.shape, k.shape)
        D = alpha.new_zeros(*batch, self.dim, self.dim)
        for (mul, ir), here in zip(self, self.slices(), strict=True):
            D[..., here, here] = torch.kron(
                torch.eye(mul).to(alpha), ir.D_from_angles(alpha, beta, gamma, k)
            )
        return D

    @overload
    def __getitem__(self, i: SupportsIndex) -> MulIrrep: ...
    @overload
    def __getitem__(self, i: slice) -> "Irreps": ...
    def __getitem__(self, i: SupportsIndex | slice) -> "MulIrrep | Irreps":
        return Irreps(super().__getitem__(i)) if isinstance(i, slice) else super().__getitem__(i)

    def __contains__(self, ir: object) -> bool:
        ir = Irrep(ir)  # type: ignore[arg-type]
        return any(other == ir for _, other in self)

    def __add__(self, other: "IrrepsLike") -> "Irreps":
        return Irreps(super().__add__(Irreps(other)))

    def __mul__(self, times: SupportsIndex) -> "Irreps":
        """The terms repeated; products of representations are `FullTensorProduct(...).irreps_out`.

        Raises:
            TypeError: if the factor is not an integer.
        """
        return Irreps(super().__mul__(times))

    def __rmul__(self, times: SupportsIndex) -> "Irreps":
        return Irreps(super().__rmul__(times))

    def __repr__(self) -> str:
        return "+".join(map(repr, self))


class _SliceByMul(NamedTuple):
    """Slices `irreps` by position among its single irreps."""

    irreps: Irreps

    def __getitem__(self, cut: slice) -> Irreps:  # type: ignore[override]
        if not isinstance(cut, slice):
            raise TypeError(f"expected a slice such as slice_by_mul[1:4], got {cut!r}")
        start, stop, step = cut.indices(self.irreps.num_irreps)
        if step != 1:
            raise ValueError(f"expected a slice of step 1, got {cut}")
        terms, first = [], 0
        for mul, ir in self.irreps:
            end = first + mul
            inside = min(stop, end) - max(start, first)
            if inside > 0 or (inside == 0 and (mul == 0 or first < start < end)):
                terms.append((inside, ir))
            first = end
        return Irreps(terms)


def _criterion(selection: Any) -> Callable[[MulIrrep], bool]:
    if callable(selection):
        return selection
    irreps = {ir for _, ir in Irreps(selection)}
    return lambda term: term.ir in irreps


IrrepsLike: TypeAlias = Irreps | Irrep | MulIrrep | str | Iterable[Any] | None
"""What :class:`Irreps` can be made of."""
