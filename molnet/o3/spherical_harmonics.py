r"""Real spherical harmonics as homogeneous polynomials of a vector, with e3nn's basis and signs.

The degrees follow from one another by coupling with the vector itself (Wigner 3j symbols C):

    Y⁰ = s₀,   Y¹(r) = s₁ √3 r,   Yˡ⁺¹_i(r) = c_l Σ_jk C^{l+1,l,1}_ijk Yˡ_j(r) r_k

where c_l > 0 up to sign is fixed by the value at the pole, Yˡ_0(ŷ) = s_l √(2l + 1). Each step is
an outer product and one small matrix product over the whole batch, stable to high degree, and
polynomial, so it can be differentiated any number of times.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.o3.constants import Constants
from molnet.o3.irreps import Irrep, Irreps, MulIrrep
from molnet.o3.layout import Layout
from molnet.o3.wigner import wigner_3j

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
    steps = _recursion_steps(max(irreps_out.ls, default=0), normalization, x)
    return _evaluate(irreps_out, x, normalize, normalization, steps, "mul_ir")


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
        self.lmax = max(self.irreps_out.ls, default=0)
        self._steps = Constants(map(torch.tensor, _recursion_matrices(self.lmax, normalization)))

    def forward(self, x: Tensor) -> Tensor:
        """Spherical harmonics [..., irreps_out.dim] of vectors x [..., 3]."""
        _require_vectors(x)
        steps = [self._steps[i] for i in range(len(self._steps))]
        if any(step.dtype != x.dtype for step in steps):
            steps = _recursion_steps(self.lmax, self.normalization, x)
        return _evaluate(self.irreps_out, x, self.normalize, self.normalization, steps, self.layout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out})"


def _evaluate(
    irreps_out: Irreps,
    x: Tensor,
    normalize: bool,
    normalization: Normalization,
    steps: Sequence[Tensor],
    layout: Layout,
) -> Tensor:
    """The recursion, with one row for each component so that the batch axis is contiguous."""
    r = x.reshape(-1, 3).t().contiguous()  # (3, N)
    if normalize:
        r = _directions(r)
    Y = [_scale(0, normalization) * torch.ones_like(r[:1]), _scale(1, normalization) * 3**0.5 * r]
    for step in steps:
        Y.append(step @ (Y[-1][:, None] * r).flatten(0, 1))  # (2l + 3, N)
    rows = [r[:0]]
    for mul, (l, _) in irreps_out:
        if mul == 1:
            rows.append(Y[l])
        else:
            rows.append(
                Y[l].repeat(mul, 1) if layout == "mul_ir" else Y[l].repeat_interleave(mul, dim=0)
            )
    return torch.cat(rows).t().contiguous().view(*x.shape[:-1], irreps_out.dim)


def _directions(r: Tensor) -> Tensor:
    """Unit vectors of the columns of r (3, N); zero, with zero derivatives, for zero columns."""
    square = r.square().sum(0)
    present = square > 0
    return r * torch.where(present, torch.where(present, square, 1).rsqrt(), 0)


def _recursion_steps(lmax: int, normalization: Normalization, x: Tensor) -> list[Tensor]:
    matrices = _recursion_matrices(lmax, normalization)
    return [torch.tensor(matrix, dtype=x.dtype, device=x.device) for matrix in matrices]


@cache
def _recursion_matrices(lmax: int, normalization: Normalization) -> tuple[NDArray[np.float64], ...]:
    """For l = 1 … lmax − 1 the matrix [2l + 3, (2l + 1)·3] that takes Yˡ ⊗ r to Yˡ⁺¹."""
    matrices = []
    for l in range(1, lmax):
        C = wigner_3j(l + 1, l, 1, dtype=torch.float64, device="cpu").numpy()
        pole = C[l + 1, l, 1]  # m = 0 in both degrees, r = ŷ
        ratio = _scale(l + 1, normalization) / _scale(l, normalization)
        c = ratio * math.sqrt((2 * l + 3) / (2 * l + 1)) / pole
        matrices.append((c * C).reshape(2 * l + 3, -1))
    return tuple(matrices)


def _scale(l: int, normalization: Normalization) -> float:
    """s_l = |Yˡ| / √(2l + 1) on the unit sphere."""
    if normalization == "integral":
        return 1 / math.sqrt(4 * math.pi)
    return 1.0 if normalization == "component" else 1 / math.sqrt(2 * l + 1)


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
