r"""Real spherical harmonics as homogeneous polynomials of a vector, with e3nn's basis and signs.

The degrees follow from one another by coupling with the first (Wigner 3j symbols C), and so do
their derivatives, with the same coefficients:

    Yˡ⁺¹_i          =           Σ_jk S^l_i,jk Yˡ_j Y¹_k,      S^l_i,jk ∝ C^{l+1,l,1}_ijk
    ∂Yˡ⁺¹_i / ∂Y¹_k = (l + 1) Σ_j  S^l_i,jk Yˡ_j

where Y¹ is the vector itself times a constant. Each step is an outer product and one small matrix
product over the whole batch, stable to high degree. The derivatives are made of the harmonics
themselves, so all orders follow from the first.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.edge_basis import CompiledEdgeBasis
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
        is proportional to (x, y, z). In memory the batch is contiguous, not the components. At the
        zero vector Y^l = 0 for l > 0, and with `normalize`, where the direction is undefined, all
        derivatives there are zero. Not to be changed in place while gradients are recorded.

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
    return _evaluate(x, irreps_out, "mul_ir", normalize, normalization, coefficients)


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
        return _evaluate(
            x, self.irreps_out, self.layout, self.normalize, self.normalization, coefficients
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out})"


def _evaluate(
    x: Tensor,
    irreps_out: Irreps,
    layout: Layout,
    normalize: bool,
    normalization: Normalization,
    coefficients: Sequence[Tensor],
) -> Tensor:
    """Harmonics [..., irreps_out.dim] of vectors [..., 3]."""
    vectors = x if x.dim() == 2 else x.reshape(-1, 3)
    A, b, D, *steps = coefficients
    pole = _pole(1, normalization)
    if not steps and not normalize:  # up to l = 1 they are an affine map
        Y = torch.addmm(b, pole * A, vectors.t()).t()
    elif (compiled := _compiled(math.isqrt(D.shape[1]) - 1, normalize, normalization)).serves(
        vectors
    ):
        Y, *_ = compiled(vectors)
    elif torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        Y = _harmonics(vectors, normalize, pole, A, b, steps)
    else:
        Y = _Harmonics.apply(vectors, normalize, pole, A, b, D, *steps)
    degrees = range(math.isqrt(Y.shape[1]))
    if irreps_out.ls != list(degrees):
        rows = Y.t().split([2 * l + 1 for l in degrees])
        chosen = [
            rows[l].repeat(mul, 1) if layout == "mul_ir" else rows[l].repeat_interleave(mul, dim=0)
            for mul, (l, _) in irreps_out
        ]
        Y = torch.cat([rows[0][:0], *chosen]).t()
    return Y if x.dim() == 2 else Y.view(*x.shape[:-1], Y.shape[1])


@cache
def _compiled(lmax: int, normalize: bool, normalization: Normalization) -> CompiledEdgeBasis:
    def reference(vectors: Tensor) -> tuple[Tensor, Tensor]:
        A, b, _, *steps = _coefficients(lmax, normalization, vectors)
        Y = _harmonics(vectors, normalize, _pole(1, normalization), A, b, steps)
        return Y, Y[:, :0]

    poles = tuple(_pole(l, normalization) for l in range(lmax + 1))
    return CompiledEdgeBasis(poles, normalize, 0, 1.0, reference)


def _harmonics(
    x: Tensor, normalize: bool, pole: float, A: Tensor, b: Tensor, steps: Sequence[Tensor]
) -> Tensor:
    """Yˡ for l = 0 … lmax, [N, (lmax + 1)²], of vectors x [N, 3]; Y¹ is `pole` times x or x/|x|.

    Inside, they are rows along the batch, so that every operation runs over contiguous memory, and
    turned without a copy. The affine map (A, b) [4, 3], [4, 1] makes the rows Y⁰ and x.

    In plain operations, for compilers and for the transforms of `torch.func`.
    """
    start = torch.addmm(b, A, x.t())
    Y1 = start[1:] * (_scale(pole, start[1:]) if normalize else pole)
    rows = [start[:1], Y1]
    for step in steps:
        rows.append(step @ (rows[-1][:, None] * Y1).flatten(0, 1))
    return torch.cat(rows).t()


class _Harmonics(torch.autograd.Function):
    """`_harmonics` written in place, which keep for their derivatives little but the result.

    D [3·lmax², (lmax + 1)²] holds the slopes ∂Y_i/∂Y¹_k = Σ_j D_kj,i Y_j.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        normalize: bool,
        pole: float,
        A: Tensor,
        b: Tensor,
        D: Tensor,
        *steps: Tensor,
    ) -> Tensor:
        rows = x.new_empty(D.shape[1], len(x))
        last = Y1 = torch.addmm(b, A, x.t(), out=rows[:4])[1:]
        scale = _scale(pole, Y1) if normalize else pole
        Y1 *= scale
        for l, step in enumerate(steps, start=2):
            here = rows[l**2 : (l + 1) ** 2]
            last = torch.mm(step, (last[:, None] * Y1).flatten(0, 1), out=here)
        Y = rows.t()
        ctx.normalize, ctx.pole, ctx.scale = normalize, pole, scale
        ctx.save_for_backward(x, Y, D)
        return Y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, Y, D = ctx.saved_tensors
        rows, scale = Y.t(), ctx.scale
        lower = rows[: len(D) // 3]
        grad_Y1 = ((D @ grad.t()).view(3, *lower.shape) * lower).sum(1)
        if ctx.normalize:  # only what is perpendicular to a vector changes its direction
            Y1 = rows[1:4]
            along = (Y1 * grad_Y1).sum(0)
            grad_Y1 = torch.addcmul(grad_Y1, Y1, along, value=-1 / ctx.pole**2)
            if torch.is_grad_enabled():  # the next derivative needs the dependence on x
                scale = _scale(ctx.pole, x.t())
        return (grad_Y1 * scale).t(), *(None,) * (len(ctx.needs_input_grad) - 1)


def _scale(length: float, v: Tensor) -> Tensor:
    """length/|v| for the columns of v [3, N]; a zero vector counts as infinitely long."""
    square = v.square().sum(0)
    return length * torch.nn.functional.threshold(square, 0.0, math.inf).rsqrt()


def _coefficients(lmax: int, normalization: Normalization, x: Tensor) -> list[Tensor]:
    """The matrices of `_exact_coefficients` in the type of x."""
    matrices = _exact_coefficients(lmax, normalization)
    return [torch.tensor(matrix, dtype=x.dtype, device=x.device) for matrix in matrices]


@cache
def _exact_coefficients(lmax: int, normalization: Normalization) -> tuple[NDArray[np.float64], ...]:
    """A, b and D of `_Harmonics`, and S^l for l = 1 … lmax − 1."""
    D, steps = np.zeros((3, lmax**2, (lmax + 1) ** 2)), []
    for l in range(lmax):
        C = wigner_3j_array(l + 1, l, 1)
        p0, p1, p2 = (_pole(degree, normalization) for degree in (l, 1, l + 1))
        S = C * (p2 / (p0 * p1 * C[l + 1, l, 1]))  # exact at the pole, where only m = 0 is left
        D[:, l**2 : (l + 1) ** 2, (l + 1) ** 2 : (l + 2) ** 2] = (l + 1) * S.transpose(2, 1, 0)
        steps.append(S.reshape(2 * l + 3, -1))
    A, b = np.eye(4, 3, -1), _pole(0, normalization) * np.eye(4, 1)
    return A, b, np.concatenate(D), *steps[1:]


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
