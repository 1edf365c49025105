r"""Real spherical harmonics as homogeneous polynomials of a vector, with e3nn's basis and signs.

The degrees follow from one another by coupling with the first (Wigner 3j symbols C), and so do
their derivatives, with the same coefficients:

    Yˡ⁺¹_i          =           Σ_jk S^l_i,jk Yˡ_j Y¹_k,      S^l_i,jk ∝ C^{l+1,l,1}_ijk
    ∂Yˡ⁺¹_i / ∂Y¹_k = (l + 1) Σ_j  S^l_i,jk Yˡ_j

where Y¹ is the vector itself times a constant. Each step is an outer product and one small matrix
product over the whole batch, stable to high degree. The derivatives are made of the harmonics
themselves, so all orders follow from the first.
"""

import inspect
import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.o3.constants import Constants
from molnet.o3.irreps import Irrep, Irreps, MulIrrep
from molnet.o3.layout import Layout
from molnet.o3.wigner import wigner_3j_array

Normalization: TypeAlias = Literal["integral", "component", "norm"]
Degrees: TypeAlias = int | Iterable[int] | str | Irreps


def spherical_harmonics(
    l: Degrees, x: Tensor, normalize: bool, normalization: Normalization = "integral"
) -> Tensor:
    """Real spherical harmonics Y^l(x), equivariant: Y^l(R x) = D^l(R) Y^l(x).

    Without `normalize` they are the homogeneous polynomials |x|^l Y^l(x/|x|).

    Args:
        l: a degree, a list of degrees, or irreps of the right parities such as "0e + 1o + 2e".
        x: vectors (x, y, z), [..., 3].
        normalize: whether to take the direction x/|x| only.
        normalization: of the result for unit x: "component" |Y^l|² = 2l + 1, "norm" |Y^l| = 1,
            "integral" ∫ (Y^l_m)² dΩ = 1 over the sphere.

    Returns:
        [..., Σ (2l + 1)], the degrees in the order given, m = −l … l about the axis Y in each; Y¹
        is proportional to (x, y, z). At the zero vector Y^l = 0 for l > 0, and with `normalize`,
        where the direction is undefined, all derivatives there are zero.

    Raises:
        ValueError: if a degree is negative, parities do not fit a vector, the normalization is
            unknown, or x is no floating-point tensor [..., 3].

    >>> spherical_harmonics([0, 1], torch.tensor([0.0, 0.0, 2.0]), True, "norm")
    tensor([1., 0., 0., 1.])
    >>> Y = spherical_harmonics("2e", torch.randn(10, 3), normalize=True, normalization="component")
    >>> Y.shape, torch.allclose(Y.square().sum(-1), torch.tensor(5.0))
    (torch.Size([10, 5]), True)
    """
    _, irreps_out = _irreps(l, None)
    _require(normalization, Normalization, "normalization")
    _require_vectors(x)
    coefficients = _coefficients(max([1, *irreps_out.ls]), normalization, x)
    rows = _rows(x, normalize, normalization, coefficients)
    return _arrange(rows, irreps_out, "mul_ir").view(*x.shape[:-1], irreps_out.dim)


class SphericalHarmonics(torch.nn.Module):
    """`spherical_harmonics` as a module that keeps its coupling coefficients on its device.

    Args:
        irreps_out: as `l` of `spherical_harmonics`.
        normalize, normalization: as in `spherical_harmonics`.
        irreps_in: "1o" for a vector or "1e" for a pseudovector; by default what `irreps_out` asks.
        layout: order of equal harmonics repeated by a multiplicity above one.

    Raises:
        ValueError: as `spherical_harmonics`.

    >>> sh = SphericalHarmonics("0e + 1o + 2e", normalize=True, normalization="component")
    >>> sh, sh(torch.randn(7, 3)).shape
    (SphericalHarmonics(1x1o -> 1x0e+1x1o+1x2e), torch.Size([7, 9]))
    """

    def __init__(
        self,
        irreps_out: Degrees,
        normalize: bool,
        normalization: Normalization = "integral",
        irreps_in: Irreps | str | None = None,
        *,
        layout: Layout = "mul_ir",
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = _irreps(irreps_out, irreps_in)
        _require(normalization, Normalization, "normalization")
        _require(layout, Layout, "layout")
        self.normalize = normalize
        self.normalization: Normalization = normalization
        self.layout: Layout = layout
        self._lmax = max([1, *self.irreps_out.ls])
        self._coefficients = Constants(
            map(torch.tensor, _exact_coefficients(self._lmax, normalization))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Spherical harmonics [..., irreps_out.dim] of vectors x [..., 3]."""
        _require_vectors(x)
        coefficients = list(self._coefficients)
        if coefficients[0].dtype != x.dtype:
            coefficients = _coefficients(self._lmax, self.normalization, x)
        rows = _rows(x, self.normalize, self.normalization, coefficients)
        return _arrange(rows, self.irreps_out, self.layout).view(*x.shape[:-1], self.irreps_out.dim)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out})"


def _rows(
    x: Tensor, normalize: bool, normalization: Normalization, coefficients: Sequence[Tensor]
) -> Tensor:
    """All harmonics up to lmax of vectors [..., 3], joined along rows [(lmax + 1)², N].

    With the batch axis last and contiguous, every operation runs at full vector width.
    """
    vector, slopes, *steps = coefficients
    Y1 = vector @ x.reshape(-1, 3).t()
    if normalize:
        square = Y1.square().sum(0)  # a zero vector is treated as infinitely long: 0, and smooth
        length = _pole(1, normalization)
        Y1 = Y1 * (length * square.masked_fill(square == 0, math.inf).rsqrt())
    return _SolidHarmonics.apply(Y1, _pole(0, normalization), slopes, *steps)


def _arrange(rows: Tensor, irreps_out: Irreps, layout: Layout) -> Tensor:
    """The harmonics that were asked for, [N, irreps_out.dim]."""
    lmax = math.isqrt(len(rows)) - 1
    if irreps_out.ls != list(range(lmax + 1)):
        Y = rows.split([2 * l + 1 for l in range(lmax + 1)])
        blocks = [
            Y[l].repeat(mul, 1) if layout == "mul_ir" else Y[l].repeat_interleave(mul, dim=0)
            for mul, (l, _) in irreps_out
        ]
        rows = torch.cat([rows[:0], *blocks])
    return rows.t().contiguous()


class _SolidHarmonics(torch.autograd.Function):
    """Yˡ for l = 0 … lmax, joined along rows [(lmax + 1)², N], from the constant Y⁰ and Y¹ [3, N].

    `slopes` is the matrix D [3·lmax², (lmax + 1)²] with ∂Y_i/∂Y¹_k = Σ_j D_kj,i Y_j.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(Y1: Tensor, Y0: float, slopes: Tensor, *steps: Tensor) -> Tensor:
        Y = [torch.full_like(Y1[:1], Y0), Y1]
        for step in steps:
            Y.append(step @ (Y[-1][:, None] * Y1).flatten(0, 1))
        return torch.cat(Y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, _, slopes, *steps = inputs
        ctx.constants = 2 + len(steps)
        ctx.save_for_backward(output, slopes)
        ctx.save_for_forward(output, slopes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        Y, slopes = ctx.saved_tensors
        grad_Y1 = ((slopes @ grad).unflatten(0, (3, -1)) * Y[: len(slopes) // 3]).sum(1)
        return grad_Y1, *(None,) * ctx.constants

    @staticmethod
    def jvp(ctx: Any, dY1: Tensor, *_: None) -> Tensor:
        Y, slopes = ctx.saved_tensors
        return slopes.t() @ (dY1[:, None] * Y[: len(slopes) // 3]).flatten(0, 1)


# Without it, torch reads the signature anew at each call, which costs as much as a matrix product.
_SolidHarmonics.forward.__signature__ = inspect.signature(_SolidHarmonics.forward)  # type: ignore[attr-defined]


def _coefficients(lmax: int, normalization: Normalization, x: Tensor) -> list[Tensor]:
    """The matrices of `_exact_coefficients` in the type of x."""
    matrices = _exact_coefficients(lmax, normalization)
    return [torch.tensor(matrix, dtype=x.dtype, device=x.device) for matrix in matrices]


@cache
def _exact_coefficients(lmax: int, normalization: Normalization) -> tuple[NDArray[np.float64], ...]:
    """The matrix from a vector to Y¹, D of `_SolidHarmonics`, and S^l for l = 1 … lmax − 1."""
    slopes, steps = np.zeros((3, lmax**2, (lmax + 1) ** 2)), []
    for l in range(lmax):
        C = wigner_3j_array(l + 1, l, 1)
        p0, p1, p2 = (_pole(degree, normalization) for degree in (l, 1, l + 1))
        S = C * (p2 / (p0 * p1 * C[l + 1, l, 1]))  # exact at the pole, where only m = 0 is left
        slopes[:, l**2 : (l + 1) ** 2, (l + 1) ** 2 : (l + 2) ** 2] = (l + 1) * S.transpose(2, 1, 0)
        steps.append(S.reshape(2 * l + 3, -1))
    vector = _pole(1, normalization) * np.eye(3)
    return vector, slopes.reshape(-1, (lmax + 1) ** 2), *steps[1:]


def _pole(l: int, normalization: Normalization) -> float:
    """Yˡ_0 at the pole ŷ of the unit sphere, where the other components vanish: its norm."""
    if normalization == "norm":
        return 1.0
    return math.sqrt(2 * l + 1) / (math.sqrt(4 * math.pi) if normalization == "integral" else 1)


def _irreps(degrees: Degrees, irreps_in: Irreps | str | None) -> tuple[Irreps, Irreps]:
    """The irreps of the vector and of its spherical harmonics, checked for parity."""
    if isinstance(degrees, str | Irrep | MulIrrep):
        degrees = Irreps(degrees)
    if irreps_in is None:
        pseudo = isinstance(degrees, Irreps) and any(l % 2 and p == 1 for _, (l, p) in degrees)
        irreps_in = "1e" if pseudo else "1o"
    irreps_in = Irreps(irreps_in)
    if irreps_in not in (Irreps("1o"), Irreps("1e")):
        raise ValueError(
            f'irreps_in must be "1o" (vector) or "1e" (pseudovector), got "{irreps_in}"'
        )
    parity = irreps_in[0].ir.p

    if isinstance(degrees, Irreps):
        for _, ir in degrees:
            if ir.p != parity**ir.l:
                raise ValueError(
                    f"spherical harmonics of degree {ir.l} of a {irreps_in} vector transform as "
                    f"{Irrep(ir.l, parity**ir.l)}, so irreps_out {degrees} cannot hold {ir}"
                )
        return irreps_in, degrees.simplify()
    listed = [degrees] if isinstance(degrees, int) else list(degrees)
    return irreps_in, Irreps([(1, (l, parity ** (l % 2))) for l in listed]).simplify()


def _require(value: str, choices: TypeAlias, name: str) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {get_args(choices)}, got {value!r}")


def _require_vectors(x: Tensor) -> None:
    if x.shape[-1:] != (3,) or not x.is_floating_point():
        raise ValueError(
            f"expected floating-point vectors of shape [..., 3], got {list(x.shape)} of {x.dtype}"
        )
