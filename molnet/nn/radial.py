"""Functions of distance: bases that resolve it, and envelopes that end it smoothly at a cutoff.

A basis maps distances [...] to [..., num], an envelope maps them to [...]; both in the distances'
own unit, dtype and device. Nothing of them is trained unless a basis is made trainable. A network
multiplies the two, so that an edge fades out before it disappears.
"""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

Basis: TypeAlias = Literal["gaussian", "cosine", "smooth_finite", "fourier", "bessel"]


class BesselBasis(nn.Module):
    """Spherical Bessel functions of order zero that vanish at the cutoff.

    B_n(r) = √(2/r_c) sin(nπ r/r_c) / r, n = 1 … num, with the limit √(2/r_c) nπ/r_c at r = 0;
    orthonormal: ∫₀^r_c r² B_n B_m dr = δ_nm. Gasteiger, Groß & Günnemann, ICLR 2020,
    arXiv:2003.03123, eq. 7. Beyond the cutoff they go on; multiply by an envelope.

    Args:
        cutoff: r_c > 0, in the unit of the distances.
        num: number of functions, at least 1.
        trainable: whether the frequencies n π/r_c are only what training starts from.

    Raises:
        ValueError: if cutoff or num is out of range.

    >>> BesselBasis(5.0, 2)(torch.tensor([0.0, 2.5, 5.0])).round(decimals=3).abs()
    tensor([[0.3970, 0.7950],
            [0.2530, 0.0000],
            [0.0000, 0.0000]])
    """

    def __init__(self, cutoff: float, num: int, trainable: bool = False) -> None:
        super().__init__()
        self.cutoff, self.num = _positive(cutoff, "cutoff"), _at_least(1, num, "num")
        self.multiples: nn.Parameter | None = None  # of π/r_c
        if trainable:
            self.multiples = nn.Parameter(torch.arange(1.0, num + 1))

    def forward(self, distances: Tensor) -> Tensor:
        """Basis functions [..., num] of distances [...]."""
        if self.multiples is None:
            return bessel(distances, self.num, self.cutoff)
        return _bessel(distances, self.multiples, self.cutoff)

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}, num={self.num}"


class GaussianBasis(nn.Module):
    """Gaussians with evenly spaced centres from 0 to the cutoff, as wide as their spacing.

    G_n(r) = exp(−(r − μ_n)² / 2σ²), μ_n = (n − 1)σ, n = 1 … num, σ = r_c/(num − 1). Schütt et al.,
    J. Chem. Phys. 148, 241722 (2018).

    Args:
        cutoff: r_c > 0, in the unit of the distances.
        num: number of functions, at least 2.
        trainable: whether the centres are only what training starts from.

    Raises:
        ValueError: if cutoff or num is out of range.

    >>> GaussianBasis(4.0, 3)(torch.tensor([0.0, 4.0]))
    tensor([[1.0000, 0.6065, 0.1353],
            [0.1353, 0.6065, 1.0000]])
    """

    def __init__(self, cutoff: float, num: int, trainable: bool = False) -> None:
        super().__init__()
        self.cutoff, self.num = _positive(cutoff, "cutoff"), _at_least(2, num, "num")
        self.centres: nn.Parameter | None = None  # in widths
        if trainable:
            self.centres = nn.Parameter(torch.arange(float(num)))

    def forward(self, distances: Tensor) -> Tensor:
        """Basis functions [..., num] of distances [...]."""
        usual = torch.arange(self.num, dtype=distances.dtype, device=distances.device)
        n = usual if self.centres is None else self.centres
        width = self.cutoff / (self.num - 1)
        return torch.exp(-0.5 * (distances[..., None] / width - n).square())

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}, num={self.num}"


class SmoothFiniteBasis(nn.Module):
    """Bumps of finite support, infinitely differentiable, that all vanish at 0 and at the cutoff.

    `soft_one_hot_linspace(r, 0, cutoff, num, "smooth_finite", cutoff=True)`: each bump reaches
    from one neighbouring centre to the other, so at most two overlap anywhere.

    Args:
        cutoff: r_c > 0, in the unit of the distances.
        num: number of functions, at least 1.

    Raises:
        ValueError: if cutoff or num is out of range.

    >>> SmoothFiniteBasis(4.0, 3)(torch.tensor([0.0, 2.0, 4.0]))
    tensor([[0.0000, 0.0000, 0.0000],
            [0.0000, 1.1414, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """

    def __init__(self, cutoff: float, num: int) -> None:
        super().__init__()
        self.cutoff, self.num = _positive(cutoff, "cutoff"), _at_least(1, num, "num")

    def forward(self, distances: Tensor) -> Tensor:
        """Basis functions [..., num] of distances [...]."""
        return soft_one_hot_linspace(
            distances, 0.0, self.cutoff, self.num, basis="smooth_finite", cutoff=True
        )

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}, num={self.num}"


class PolynomialEnvelope(nn.Module):
    """Polynomial that falls from 1 at r = 0 to 0 at the cutoff, and is 0 beyond.

    u(x) = 1 − (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) − p(p+1)/2 x^(p+2), x = r/r_c: value, first and
    second derivative vanish at the cutoff. The larger p, the later it falls. Gasteiger, Groß &
    Günnemann, ICLR 2020, arXiv:2003.03123, eq. 8.

    Args:
        cutoff: r_c > 0, in the unit of the distances.
        power: p, at least 2.

    Raises:
        ValueError: if cutoff or power is out of range.

    >>> PolynomialEnvelope(5.0, power=2)(torch.tensor([0.0, 2.5, 5.0, 6.0]))
    tensor([1.0000, 0.3125, 0.0000, 0.0000])
    """

    def __init__(self, cutoff: float, power: int = 6) -> None:
        super().__init__()
        self.cutoff, self.power = _positive(cutoff, "cutoff"), _at_least(2, power, "power")

    def forward(self, distances: Tensor) -> Tensor:
        """Envelope [...] of distances [...]."""
        # The same polynomial as (1 − x)³ Σ_{k<p} (k + 1)(k + 2)/2 x^k, which loses no digits where
        # it vanishes.
        x = (distances / self.cutoff).clamp(max=1)
        total = torch.zeros_like(x)
        for k in reversed(range(self.power)):
            total = total * x + (k + 1) * (k + 2) / 2
        return (1 - x) ** 3 * total

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}, power={self.power}"


class CosineEnvelope(nn.Module):
    """Half a cosine from 1 at r = 0 to 0 at the cutoff, and 0 beyond.

    u(r) = (1 + cos(π r/r_c))/2; the first derivative vanishes at the cutoff, the second does not.
    Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007), eq. 3.

    Args:
        cutoff: r_c > 0, in the unit of the distances.

    Raises:
        ValueError: if the cutoff is not positive.

    >>> CosineEnvelope(5.0)(torch.tensor([0.0, 2.5, 5.0, 6.0]))
    tensor([1.0000, 0.5000, 0.0000, 0.0000])
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = _positive(cutoff, "cutoff")

    def forward(self, distances: Tensor) -> Tensor:
        """Envelope [...] of distances [...]."""
        return 0.5 * (1 + torch.cos(math.pi * (distances / self.cutoff).clamp(max=1)))

    def extra_repr(self) -> str:
        return f"cutoff={self.cutoff}"


BASES: dict[str, type[BesselBasis | GaussianBasis]] = {
    "bessel": BesselBasis,
    "gaussian": GaussianBasis,
}
"""The radial bases that a configuration may name."""

ENVELOPES: dict[str, Callable[[float, int], nn.Module]] = {
    "polynomial": PolynomialEnvelope,
    "cosine": lambda cutoff, power: CosineEnvelope(cutoff),
}
"""The envelopes that a configuration may name, from the cutoff and the power of the polynomial."""


def bessel(x: Tensor, n: int, x_max: float = 1.0) -> Tensor:
    """The functions of `BesselBasis`, [..., n], for a cutoff `x_max`.

    >>> bessel(torch.tensor([0.5]), 3).round(decimals=3).abs()
    tensor([[2.8280, 0.0000, 2.8280]])
    """
    return _bessel(x, torch.arange(1, n + 1, dtype=x.dtype, device=x.device), x_max)


def _bessel(x: Tensor, multiples: Tensor, x_max: float) -> Tensor:
    """The same with frequencies that are any multiples [n] of π/x_max."""
    frequency = multiples * (math.pi / x_max)
    y = frequency * x[..., None]
    # sin(y)/y by its series around zero, where the quotient's derivatives would be undefined.
    small = y.abs() < 0.05
    square = y.square()
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
    away_from_zero = torch.where(small, 1, y)
    sinc = torch.where(small, series, torch.sin(away_from_zero) / away_from_zero)
    return math.sqrt(2 / x_max) * frequency * sinc


def soft_unit_step(x: Tensor) -> Tensor:
    """exp(−1/x) for x > 0 and 0 elsewhere: a step with derivatives of every order.

    >>> soft_unit_step(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.0000, 0.0000, 0.3679])
    """
    # Below 1e-3 the value underflows to zero even in float64; cutting there keeps the powers of
    # 1/x in the derivatives finite.
    above = x > 1e-3
    return torch.where(above, torch.exp(-1 / torch.where(above, x, 1)), 0)


def soft_one_hot_linspace(
    x: Tensor,
    start: float,
    end: float,
    number: int,
    basis: Basis | None = None,
    cutoff: bool | None = None,
) -> Tensor:
    """Values of `number` functions spread evenly over an interval, with e3nn's normalisation.

    With d the distance from a centre in units of the spacing and t = (x − start)/(end − start),
    function i = 1 … N is

    - "gaussian": exp(−d²)/1.12
    - "cosine": cos(πd/2) for |d| < 1
    - "smooth_finite": 1.14136 e² u(1 + d) u(1 − d), u = `soft_unit_step`
    - "fourier": cos(π(i − 1)t)/√(1/4 + N/2); with cutoff sin(πit)/√(1/4 + N/2) for 0 < t < 1
    - "bessel": `bessel(x − start, N, end − start)`; with cutoff for 0 < t < 1

    so that the sum of their squares is about one in the interval, except for "bessel".

    Args:
        x: [...].
        start, end: the interval, start < end.
        number: of functions; at least 1, or 2 for centres that include the ends.
        basis: one of the above.
        cutoff: whether the functions vanish at the ends and outside (centres inside the interval)
            or not (first and last centre at the ends).

    Returns:
        [..., number].

    Raises:
        ValueError: if basis or cutoff is not given or unknown, or the interval or number unfit.

    >>> soft_one_hot_linspace(torch.tensor([0.0, 1.0]), 0, 2, 3, basis="cosine", cutoff=False)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if cutoff not in (True, False):
        raise ValueError(f"cutoff must be given as True or False, got {cutoff!r}")
    if basis not in get_args(Basis):
        raise ValueError(f"basis must be one of {get_args(Basis)}, got {basis!r}")
    _at_least(1 if cutoff else 2, number, "number")
    length = _positive(end - start, "end - start")
    i = torch.arange(1, number + 1, dtype=x.dtype, device=x.device)

    if basis in ("fourier", "bessel"):
        inside = (start < x[..., None]) & (x[..., None] < end)
        if basis == "bessel":
            values = bessel(x - start, number, length)
        else:
            angle = math.pi / length * (x[..., None] - start)
            values = torch.sin(i * angle) if cutoff else torch.cos((i - 1) * angle)
            values = values / math.sqrt(0.25 + number / 2)
        return torch.where(inside, values, 0) if cutoff else values

    spacing = length / (number + 1 if cutoff else number - 1)
    d = (x[..., None] - start) / spacing - (i if cutoff else i - 1)
    if basis == "gaussian":
        return torch.exp(-d.square()) / 1.12
    if basis == "cosine":
        return torch.where(d.abs() < 1, torch.cos(math.pi / 2 * d), 0)
    return 1.14136 * math.exp(2) * soft_unit_step(1 + d) * soft_unit_step(1 - d)


def _positive(value: float, name: str) -> float:
    if not value > 0 or math.isinf(value):
        raise ValueError(f"expected {name} > 0 and finite, got {value}")
    return float(value)


def _at_least(least: int, value: int, name: str) -> int:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"expected an integer {name} >= {least}, got {value!r}")
    return value
