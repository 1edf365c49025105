"""Representations of O(3) as values: `Irrep`, `MulIrrep` and `Irreps`.

They hold no data; they say how the last axis of a feature tensor transforms. Names, printed forms
and results are those of e3nn (Geiger & Smidt, arXiv:2207.09453).
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from operator import index
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias, overload

import torch
from torch import Tensor

from molnet.o3.rotation import axis_angle_to_angles, matrix_to_angles, quaternion_to_angles
from molnet.o3.wigner import wigner_D

IrrepLike: TypeAlias = "Irrep | MulIrrep | str | tuple[int, int]"
IrrepsLike: TypeAlias = "Irreps | Irrep | MulIrrep | str | Iterable[Any] | None"

_TERM = re.compile(r"\s*(?:(?P<mul>\d+)\s*x\s*)?(?P<l>\d+)\s*(?P<p>[eoy])\s*")


class Representation(ABC):
    """Anything that rotations and inversions act on by a matrix D, known from their angles."""

    __slots__ = ()

    @abstractmethod
    def D_from_angles(
        self, alpha: Tensor, beta: Tensor, gamma: Tensor, k: Tensor | None = None
    ) -> Tensor:
        """Matrix of the rotation Ry(α) Rx(β) Ry(γ) together with k inversions.

        Args:
            alpha, beta, gamma: angles in radian, shapes that broadcast to [...].
            k: number of inversions, [...]; none by default.

        Returns:
            [..., dim, dim], real and orthogonal; features x transform as the column vector D x.
        """

    def D_from_quaternion(self, q: Tensor, k: Tensor | None = None) -> Tensor:
        """As `D_from_angles`, from unit quaternions [..., 4]."""
        return self.D_from_angles(*quaternion_to_angles(q), k)

    def D_from_matrix(self, R: Tensor) -> Tensor:
        """As `D_from_angles`, from orthogonal matrices [..., 3, 3]; det R = −1 inverts too.

        >>> Irreps("0o + 1o").D_from_matrix(-torch.eye(3)).diagonal().round().tolist()
        [-1.0, -1.0, -1.0, -1.0]
        """
        sign = torch.linalg.det(R).sign()
        return self.D_from_angles(*matrix_to_angles(sign[..., None, None] * R), (1 - sign) / 2)

    def D_from_axis_angle(self, axis: Tensor, angle: Tensor) -> Tensor:
        """As `D_from_angles`, from axes [..., 3] (of any length) and angles [...]."""
        return self.D_from_angles(*axis_angle_to_angles(axis, angle))


class Irrep(tuple[int, int], Representation):
    """Irreducible representation of O(3): degree `l` (dimension 2l + 1) and parity `p`.

    Accepts `Irrep(1, -1)`, `Irrep("1o")`, `Irrep((1, -1))` or another Irrep. The letters are `e`
    (even, p = +1), `o` (odd, p = −1) and `y` (the parity (−1)^l of the spherical harmonics).

    Raises:
        ValueError: if l is not a non-negative integer, p is not ±1 or the string is malformed.

    >>> Irrep(0, 1), Irrep("1y"), Irrep("2o").dim
    (0e, 1o, 5)
    >>> Irrep("1o") * Irrep("1o")
    (0e, 1e, 2e)
    >>> Irrep("1o") + Irrep("2o"), 3 * Irrep("1e")
    (1x1o+1x2o, 3x1e)
    """

    __slots__ = ()

    def __new__(cls, l: "IrrepLike | int", p: int | None = None) -> "Irrep":
        if p is None:
            if isinstance(l, Irrep):
                return l
            if isinstance(l, MulIrrep):
                return l.ir
            if isinstance(l, str):
                match = _TERM.fullmatch(l)
                if match is None or match["mul"] is not None:
                    raise ValueError(f'expected an irrep such as "0e" or "1o", got "{l}"')
                l, p = int(match["l"]), _parity(match["p"], int(match["l"]))
            elif isinstance(l, tuple) and len(l) == 2:
                l, p = l
            else:
                raise ValueError(f'expected an irrep such as "1o" or (1, -1), got {l!r}')
        degree, parity = _integer(l, "degree l"), _integer(p, "parity p")
        if degree < 0:
            raise ValueError(f"expected a degree l >= 0, got l = {degree}")
        if parity not in (-1, 1):
            raise ValueError(f"expected a parity p of 1 (even) or -1 (odd), got p = {parity}")
        return super().__new__(cls, (degree, parity))

    @property
    def l(self) -> int:
        """Degree, 0, 1, 2, …"""
        return self[0]

    @property
    def p(self) -> int:
        """Parity, +1 (even) or −1 (odd)."""
        return self[1]

    @property
    def dim(self) -> int:
        """Dimension 2l + 1."""
        return 2 * self.l + 1

    def is_scalar(self) -> bool:
        """Whether this is `0e`, the representation that no rotation or inversion changes."""
        return self.l == 0 and self.p == 1

    @classmethod
    def iterator(cls, lmax: int | None = None) -> Iterator["Irrep"]:
        """All irreps of O(3) up to degree `lmax` (without end by default).

        >>> list(Irrep.iterator(1))
        [0e, 0o, 1o, 1e]
        """
        for l in itertools.count() if lmax is None else range(lmax + 1):
            yield Irrep(l, (-1) ** l)
            yield Irrep(l, -((-1) ** l))

    def D_from_angles(
        self, alpha: Tensor, beta: Tensor, gamma: Tensor, k: Tensor | None = None
    ) -> Tensor:
        """Matrix p^k D^l(α, β, γ), [..., 2l + 1, 2l + 1]; see `Representation.D_from_angles`."""
        D = wigner_D(self.l, alpha, beta, gamma)
        return D if k is None else D * torch.where(k % 2 == 0, 1, self.p)[..., None, None]

    def __repr__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    def __mul__(self, other: IrrepLike) -> tuple["Irrep", ...]:  # type: ignore[override]
        """Irreps in the product of two: l from |l1 − l2| to l1 + l2, parity p1·p2."""
        other = Irrep(other)
        degrees = range(abs(self.l - other.l), self.l + other.l + 1)
        return tuple(Irrep(l, self.p * other.p) for l in degrees)

    def __rmul__(self, mul: SupportsIndex) -> "Irreps":  # type: ignore[override]
        return Irreps([(mul, self)])

    def __add__(self, other: IrrepsLike) -> "Irreps":  # type: ignore[override]
        return Irreps(self) + Irreps(other)


class MulIrrep(tuple[int, Irrep]):
    """An irrep with its multiplicity, one term of `Irreps`; unpacks as `mul, ir`.

    Raises:
        ValueError: if mul is not a non-negative integer, or ir is no irrep.

    >>> mul, ir = MulIrrep(16, "1o")
    >>> mul, ir, MulIrrep(16, "1o").dim
    (16, 1o, 48)
    """

    __slots__ = ()

    def __new__(cls, mul: Any, ir: "IrrepLike | None" = None) -> "MulIrrep":
        if ir is None:  # one term in any of its spellings
            if isinstance(mul, MulIrrep):
                return mul
            if isinstance(mul, str):
                mul, ir = _parse_term(mul)
            elif isinstance(mul, Irrep):
                mul, ir = 1, mul
            elif isinstance(mul, tuple | list) and len(mul) == 2:
                mul, ir = mul
        if ir is None:
            raise ValueError(f'expected one term such as "2x1o" or (2, "1o"), got {mul!r}')
        count = _integer(mul, "multiplicity")
        if count < 0:
            raise ValueError(f"expected a multiplicity >= 0, got {count} for the irrep {ir}")
        return super().__new__(cls, (count, Irrep(ir)))

    @property
    def mul(self) -> int:
        """Multiplicity."""
        return self[0]

    @property
    def ir(self) -> Irrep:
        """The irrep that is repeated."""
        return self[1]

    @property
    def dim(self) -> int:
        """Dimension mul · (2l + 1)."""
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"


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

    def __new__(cls, irreps: IrrepsLike = None) -> "Irreps":
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

        >>> Irreps("3x1e + 2x0e").slice_by_mul[1:4]
        2x1e+1x0e
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

    def __add__(self, other: IrrepsLike) -> "Irreps":
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
            inside = min(stop, first + mul) - max(start, first)
            if inside > 0:
                terms.append((inside, ir))
            first += mul
        return Irreps(terms)


def _parity(letter: str, l: int) -> int:
    return {"e": 1, "o": -1, "y": (-1) ** l}[letter]


def _parse_term(term: str) -> tuple[int, Irrep]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(f'expected a term such as "8x1o" or "1o", got "{term.strip()}"')
    l = int(match["l"])
    return int(match["mul"] or 1), Irrep(l, _parity(match["p"], l))


def _integer(value: Any, what: str) -> int:
    try:
        return index(value)
    except TypeError:
        raise ValueError(f"expected an integer {what}, got {value!r}") from None


def _criterion(selection: Any) -> Callable[[MulIrrep], bool]:
    if callable(selection):
        return selection
    irreps = {ir for _, ir in Irreps(selection)}
    return lambda term: term.ir in irreps
