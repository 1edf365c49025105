r"""Wigner D matrices and 3j symbols of SO(3) in the real basis of the spherical harmonics.

The basis of degree l is that of `spherical_harmonics`: components m = −l … l about the axis Y, so
that l = 1 is (x, y, z). Constants are computed once, in float64, and cached as NumPy arrays (which
no default device, dtype or tracing mode of torch can touch); callers receive tensors of their own.
"""

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def su2_generators(j: float) -> Tensor:
    """Generators of SU(2) in the basis |m⟩, m = −j … j, complex128 [3, 2j+1, 2j+1].

    (X0, X1, X2) = ((J₊ + J₋)/2, i·Jz, −i(J₊ − J₋)/2), where the ladder matrices carry the signs
    that make all three anti-Hermitian; they obey [X0, X1] = X2 and its cyclic permutations.

    Args:
        j: a whole number or half of an odd one, not negative: 0, 1/2, 1, 3/2 …

    Raises:
        ValueError: if j is anything else.

    >>> X = su2_generators(1 / 2)
    >>> torch.allclose(X[0] @ X[1] - X[1] @ X[0], X[2])
    True
    """
    if not (2 * j >= 0 and (2 * j) % 1 == 0):
        raise ValueError(f"expected j = 0, 1/2, 1, 3/2 ..., got {j!r}")
    return torch.tensor(_su2_generators(float(j)))


def change_basis_real_to_complex(
    l: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Unitary matrix [2l+1, 2l+1] from real spherical harmonics to complex ones, times (−i)^l.

    Row m, columns ±|m|: complex Y_m = (Y_{|m|} ∓ i Y_{−|m|})/√2 with the Condon–Shortley sign. The
    phase (−i)^l makes the 3j symbols real.

    Args:
        dtype: real precision of the result, the default dtype by default.

    >>> Q = change_basis_real_to_complex(2)
    >>> torch.allclose(Q @ Q.mH, torch.eye(5) + 0j)
    True
    """
    dtype = dtype or torch.get_default_dtype()
    return torch.tensor(_real_to_complex(l), dtype=dtype.to_complex(), device=device)


def so3_generators(
    l: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Generators of rotations about X, Y and Z in the real basis, antisymmetric [3, 2l+1, 2l+1].

    D^l(rotation by θ about axis a) = exp(θ X_a).

    >>> d_Ry = torch.tensor([[0.0, 0, 1], [0, 0, 0], [-1, 0, 0]])  # d/dθ Ry(θ) at θ = 0
    >>> torch.allclose(so3_generators(1)[1], d_Ry)
    True
    """
    dtype = dtype or torch.get_default_dtype()
    return torch.tensor(_so3_generators(l), dtype=dtype, device=device)


def wigner_D(l: int, alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """Matrices D^l of the rotations Ry(α) Rx(β) Ry(γ).

    D is orthogonal, D(R1 R2) = D(R1) D(R2), D^1(R) = R, and Y^l(R r) = D^l(R) Y^l(r).
    Rotations about Y are cosines and sines on two diagonals; the one about X is turned into one
    about Y by a constant matrix J: D = D_y(α) J D_y(β) Jᵀ D_y(γ).

    Args:
        l: degree.
        alpha, beta, gamma: angles in radian, shapes that broadcast to [...].

    Returns:
        [..., 2l + 1, 2l + 1] of the angles' dtype.

    Raises:
        ValueError: if l is not a non-negative integer.

    >>> a, b, c = torch.rand(3, 5, dtype=torch.float64)
    >>> D = wigner_D(11, a, b, c)
    >>> torch.allclose(D @ D.mT, torch.eye(23, dtype=torch.float64), atol=1e-13)
    True
    """
    _require_degrees(l)
    alpha, beta, gamma = torch.broadcast_tensors(alpha, beta, gamma)
    J = torch.tensor(_x_from_y(l), dtype=alpha.dtype, device=alpha.device)
    return (
        _rotation_about_y(l, alpha)
        @ J
        @ _rotation_about_y(l, beta)
        @ J.mT
        @ _rotation_about_y(l, gamma)
    )


def wigner_3j(
    l1: int,
    l2: int,
    l3: int,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Wigner 3j symbols C in the real basis: the invariant of l1 ⊗ l2 ⊗ l3, of norm 1.

    C_{ijk} = Σ_{abc} D^{l1}_{ai} D^{l2}_{bj} D^{l3}_{ck} C_{abc} for every rotation, and
    Σ C_{ijk}² = 1; the remaining sign is e3nn's. Computed in float64 whatever the dtype.

    Args:
        l1, l2, l3: degrees with |l1 − l2| ≤ l3 ≤ l1 + l2.
        dtype, device: of the result; torch's defaults by default.

    Returns:
        [2·l1 + 1, 2·l2 + 1, 2·l3 + 1], a copy that the caller may change.

    Raises:
        ValueError: if a degree is negative or no integer, or the triangle inequality fails.

    >>> C = wigner_3j(1, 1, 1, dtype=torch.float64)  # proportional to the Levi-Civita symbol
    >>> (C[:, :, 2] * 6**0.5).round().tolist()
    [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    _require_degrees(l1, l2, l3)  # before the cache, to which 1.0 is the same as 1
    dtype = dtype or torch.get_default_dtype()
    return torch.tensor(wigner_3j_array(l1, l2, l3), dtype=dtype, device=device)


@cache
def wigner_3j_array(l1: int, l2: int, l3: int) -> NDArray[np.float64]:
    """The cached, read-only values of `wigner_3j`."""
    _require_degrees(l1, l2, l3)
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(
            f"expected degrees with |l1 - l2| <= l3 <= l1 + l2, got l1 = {l1}, l2 = {l2}, l3 = {l3}"
        )
    Q1, Q2, Q3 = _real_to_complex(l1), _real_to_complex(l2), _real_to_complex(l3)
    coupling = np.einsum("mnk,mi,nj->ijk", _clebsch_gordan(l1, l2, l3), Q1, Q2, optimize=True)
    C = (coupling @ Q3.conj()).real
    C[np.abs(C) < 1e-15] = 0
    C /= np.linalg.norm(C)
    C.flags.writeable = False
    return C


def _clebsch_gordan(l1: int, l2: int, l3: int) -> NDArray[np.float64]:
    """⟨l1 m1 l2 m2|l3 m3⟩ up to a positive constant, from Racah's formula in binomials.

    Wei, Comput. Phys. Commun. 120, 222 (1999), eq. 4; every sum is one of integers, so exact.
    """
    C = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    a, b, c = l1 + l2 - l3, l1 - l2 + l3, -l1 + l2 + l3
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            p, q, m3 = l1 - m1, l2 + m2, m1 + m2
            terms = range(max(0, p - b, q - c), min(a, p, q) + 1)
            total = sum(
                (-1) ** k * math.comb(a, k) * math.comb(b, p - k) * math.comb(c, q - k)
                for k in terms
            )
            norm = math.comb(2 * l1, p) * math.comb(2 * l2, q) * math.comb(2 * l3, l3 + m3)
            C[l1 + m1, l2 + m2, l3 + m3] = total / math.sqrt(norm)
    return C


@cache
def _su2_generators(j: float) -> NDArray[np.complex128]:
    m = np.arange(2 * j + 1) - j
    ladder = np.sqrt(j * (j + 1) - m[:-1] * m[1:])
    up, down = np.diag(-ladder, -1), np.diag(ladder, 1)
    return np.stack([(up + down) / 2, np.diag(1j * m), -0.5j * (up - down)])


@cache
def _real_to_complex(l: int) -> NDArray[np.complex128]:
    _require_degrees(l)
    Q = np.zeros((2 * l + 1, 2 * l + 1), dtype=np.complex128)
    Q[l, l] = 1
    for m in range(1, l + 1):
        Q[l - m, l + m], Q[l - m, l - m] = math.sqrt(0.5), -1j * math.sqrt(0.5)
        Q[l + m, l + m] = (-1) ** m * math.sqrt(0.5)
        Q[l + m, l - m] = 1j * (-1) ** m * math.sqrt(0.5)
    return Q * (1, -1j, -1, 1j)[l % 4]


@cache
def _so3_generators(l: int) -> NDArray[np.float64]:
    Q = _real_to_complex(l)
    return (Q.conj().T @ _su2_generators(l) @ Q).real


@cache
def _x_from_y(l: int) -> NDArray[np.float64]:
    """D of the turn about Z by −90°, which takes the axis Y to X: exp(βX0) = J exp(βX1) Jᵀ."""
    frequencies, modes = np.linalg.eigh(1j * _so3_generators(l)[2])
    return ((modes * np.exp(0.5j * np.pi * frequencies)) @ modes.conj().T).real


def _rotation_about_y(l: int, angle: Tensor) -> Tensor:
    """exp(angle·X1) = cos(m·angle) on the diagonal, sin(m·angle) on the antidiagonal."""
    m = torch.arange(-l, l + 1, dtype=angle.dtype, device=angle.device)
    phase = angle[..., None] * m
    cosines, sines = torch.diag_embed(phase.cos()), torch.diag_embed(phase.sin()).flip(-1)
    return cosines - sines


def _require_degrees(*degrees: int) -> None:
    for l in degrees:
        if not isinstance(l, int) or l < 0:
            raise ValueError(f"expected a degree l that is a non-negative integer, got {l!r}")
