"""The cubic spline against SciPy's, and its end at the cutoff."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from molnet.nn.spline import CubicSpline

pytestmark = pytest.mark.usefixtures("float64")
CUTOFF, KNOTS = 5.0, 16


def evaluate(spline: CubicSpline, coefficients: Tensor, distances: Tensor) -> Tensor:
    basis, rows = spline(distances)
    return (basis * coefficients[rows.unsqueeze(1) + torch.arange(4)]).sum(1)


def test_equals_scipy() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    coefficients = spline.table(torch.randn(KNOTS))
    distances = torch.linspace(0.0, CUTOFF, 201)[:-1]
    h = CUTOFF / KNOTS
    expected = BSpline(h * np.arange(-3, KNOTS + 4), coefficients.numpy(), 3)(distances.numpy())
    np.testing.assert_allclose(
        evaluate(spline, coefficients, distances).numpy(), expected, atol=1e-13
    )


def test_ends_at_the_cutoff_with_two_derivatives() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    coefficients = spline.table(torch.randn(KNOTS))
    distances = torch.tensor([CUTOFF - 1e-9, CUTOFF, CUTOFF + 1e-9, 7.0], requires_grad=True)
    value = evaluate(spline, coefficients, distances)
    (slope,) = torch.autograd.grad(value.sum(), distances, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), distances)
    for derivative in (value, slope, curvature):
        torch.testing.assert_close(derivative, torch.zeros(4), rtol=0, atol=1e-6)


def test_continuous_to_second_order_across_knots() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    coefficients = spline.table(torch.randn(KNOTS))
    knots = CUTOFF / KNOTS * torch.arange(1, KNOTS)

    def derivatives(distances: Tensor) -> list[Tensor]:
        distances = distances.requires_grad_()
        found = [evaluate(spline, coefficients, distances)]
        for _ in range(2):
            found += torch.autograd.grad(found[-1].sum(), distances, create_graph=True)
        return found

    for left, right in zip(derivatives(knots - 1e-9), derivatives(knots + 1e-9), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-5)


@pytest.mark.parametrize("knots", [64, 256])
def test_error_falls_with_the_square_of_the_spacing(knots: int) -> None:
    spline = CubicSpline(CUTOFF, knots)
    values = torch.cos(spline.knots()) * (spline.support - spline.knots()) ** 3
    distances = torch.linspace(0.1, CUTOFF - 0.5, 50)
    exact = torch.cos(distances) * (spline.support - distances) ** 3
    error = (evaluate(spline, spline.table(values), distances) - exact).abs().max()
    h = CUTOFF / knots
    assert 0.1 * h**2 < error < 50 * h**2


def test_first_derivative_checks() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    distances = torch.rand(7, requires_grad=True) * 4
    assert torch.autograd.gradcheck(lambda r: spline(r)[0], distances)
    assert torch.autograd.gradgradcheck(lambda r: spline(r)[0], distances)


def test_too_few_knots() -> None:
    with pytest.raises(ValueError, match="at least 8 knots, got num_knots=4"):
        CubicSpline(CUTOFF, 4)
