"""Functions of the distance as cubic B-splines over equidistant knots."""

import torch
from torch import Tensor, nn


class CubicSpline(nn.Module):
    r"""Basis of the splines that vanish, with two derivatives, at the cutoff.

    .. math:: f(r) = \sum_{t=0}^{3} B_t(u)\, c_{n + t}, \qquad r = (n + u)\, h, \quad 0 \le u < 1

    with the uniform cubic B-spline

    .. math:: B(u) = \tfrac16 \bigl((1-u)^3,\; 3u^3 - 6u^2 + 4,\; -3u^3 + 3u^2 + 3u + 1,\; u^3\bigr)

    (de Boor, *A Practical Guide to Splines*, ch. IX). The coefficients :math:`c_k` are not
    interpolated values but values at :attr:`knots`: the spline smooths them a little, by
    :math:`h^2 f''/6`, and is itself the function that is meant. It is twice continuously
    differentiable. The last three coefficients are zero, so that it ends at the cutoff.

    Args:
        cutoff: Å.
        num_knots: intervals of length ``h = cutoff / num_knots``.
    """

    def __init__(self, cutoff: float, num_knots: int) -> None:
        super().__init__()
        if num_knots < 8:
            raise ValueError(f"expected at least 8 knots, got num_knots={num_knots}")
        self.cutoff = cutoff
        self.num_knots = num_knots
        self.support = cutoff * (num_knots - 1) / num_knots

    def knots(self) -> Tensor:
        """Distances ``[num_knots]`` that belong to the coefficients other than zero, in float64.

        They start at ``-h``, whose function value is that at ``h``, and end below
        :attr:`support`, where functions should vanish.
        """
        steps = torch.arange(-1, self.num_knots - 1, dtype=torch.float64)
        return (steps * (self.cutoff / self.num_knots)).abs()

    def table(self, values: Tensor) -> Tensor:
        """Coefficients ``[num_knots + 3, ...]`` from values ``[num_knots, ...]`` at the knots."""
        return torch.cat([values, values.new_zeros(3, *values.shape[1:])])

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Basis ``[E, 4]`` and row of the first coefficient ``[E]`` for distances ``[E]``.

        Beyond the cutoff the function is zero.
        """
        position = distances * (self.num_knots / self.cutoff)
        rows = position.detach().floor().clamp(0, self.num_knots - 1)
        u = (position - rows).clamp(max=1.0)
        v = 1 - u
        basis = torch.stack(
            [
                v**3 / 6,
                (u**2 * (u - 2) / 2 + 2 / 3),
                (v**2 * (v - 2) / 2 + 2 / 3),
                u**3 / 6,
            ],
            dim=1,
        )
        return basis, rows.long()
