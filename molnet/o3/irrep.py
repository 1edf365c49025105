"""One irreducible representation of O(3), alone (`Irrep`) or repeated (`MulIrrep`)."""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import torch
from torch import Tensor

from molnet.o3.rotation import axis_angle_to_angles, matrix_to_angles, quaternion_to_angles
from molnet.o3.wigner import wigner_D

if TYPE_CHECKING:  # Irreps is made of what this file defines
    from molnet.o3.irreps import Irreps, IrrepsLike


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

        >>> Irrep("1o").D_from_matrix(-torch.eye(3)).diagonal().round().tolist()
        [-1.0, -1.0, -1.0]
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

    >>> from molnet.o3 import Irrep
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
            elif isinstance(l, tuple) and tuple.__len__(l) == 2:  # e3nn's Irrep has no len()
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

    def __mul__(self, other: "IrrepLike") -> tuple["Irrep", ...]:  # type: ignore[override]
        """Irreps in the product of two: l from |l1 − l2| to l1 + l2, parity p1·p2."""
        other = Irrep(other)
        degrees = range(abs(self.l - other.l), self.l + other.l + 1)
        return tuple(Irrep(l, self.p * other.p) for l in degrees)

    def __rmul__(self, mul: SupportsIndex) -> "Irreps":  # type: ignore[override]
        from molnet.o3.irreps import Irreps

        return Irreps([(mul, self)])

    def __add__(self, other: "IrrepsLike") -> "Irreps":  # type: ignore[override]
        from molnet.o3.irreps import Irreps

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


def __getattr__(name: str) -> "Irrep":
    """Irreps by name: ``from molnet.o3.irrep import l1o`` gives ``Irrep("1o")``."""
    if re.fullmatch(r"l\d+[eoy]", name) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return Irrep(name[1:])


IrrepLike: TypeAlias = Irrep | MulIrrep | str | tuple[int, int]
"""What :class:`Irrep` can be made of."""
