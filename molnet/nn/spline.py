"""Functions of the distance as cubic B-splines over equidistant knots."""

import torch
from torch import Tensor, nn


class CubicSpline(nn.Module):
    r"""Splines through values at knots that vanish, with two derivatives, at the cutoff.

    .. math:: f(r) = \sum_{t=0}^{3} B_t(u)\, c_{n + t}, \qquad r = (n + u)\, h, \quad 0 \le u < 1

    with the uniform cubic B-spline

    .. math:: B(u) = \tfrac16 \bigl((1-u)^3,\; 3u^3 - 6u^2 + 4,\; -3u^3 + 3u^2 + 3u + 1,\; u^3\bigr)

    (de Boor, *A Practical Guide to Splines*, ch. IX). It is twice continuously differentiable,
    takes the given values :math:`f_n` at the knots :math:`n h`, and is even in r. Its coefficients
    solve :math:`c_{n-1} + 4 c_n + c_{n+1} = 6 f_n`, and the last three are zero, so that it ends at
    the cutoff. For a function with four derivatives that ends there too, the error falls with
    :math:`h^4`, that of its slope with :math:`h^3`.

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
        """Distances ``[num_knots - 1]`` at which values are needed, in float64.

        They start at zero and end below :attr:`support`, where functions should vanish.
        """
        steps = torch.arange(self.num_knots - 1, dtype=torch.float64)
        return steps * (self.cutoff / self.num_knots)

    def interpolation(self) -> Tensor:
        """The matrix ``[num_knots + 3, num_knots - 1]`` from values to coefficients, in float64."""
        size = self.num_knots - 1
        ones = torch.ones(size - 1, dtype=torch.float64)
        equations = 4 * torch.eye(size, dtype=torch.float64) + ones.diag(1) + ones.diag(-1)
        equations[0, 1] = 2  # the coefficient before the first is the one after it
        coefficients = 6 * torch.linalg.inv(equations)
        return torch.cat([coefficients[1:2], coefficients, torch.zeros_like(coefficients[:3])])

    def table(self, values: Tensor) -> Tensor:
        """Coefficients ``[num_knots + 3, n]`` of splines through values ``[num_knots - 1, n]``."""
        return self.interpolation().to(values) @ values

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
                v * v * v / 6,
                u * u * (u - 2) / 2 + 2 / 3,
                v * v * (v - 2) / 2 + 2 / 3,
                u * u * u / 6,
            ],
            dim=1,
        )
        return basis, rows.long()
