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


def table(spline: CubicSpline, values: Tensor) -> Tensor:
    return spline.table(values.unsqueeze(1)).squeeze(1)


def test_equals_scipy() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    coefficients = table(spline, torch.randn(KNOTS - 1))
    distances = torch.linspace(0.0, CUTOFF, 201)[:-1]
    h = CUTOFF / KNOTS
    expected = BSpline(h * np.arange(-3, KNOTS + 4), coefficients.numpy(), 3)(distances.numpy())
    np.testing.assert_allclose(
        evaluate(spline, coefficients, distances).numpy(), expected, atol=1e-13
    )


def test_ends_at_the_cutoff_with_two_derivatives() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    coefficients = table(spline, torch.randn(KNOTS - 1))
    distances = torch.tensor([CUTOFF - 1e-9, CUTOFF, CUTOFF + 1e-9, 7.0], requires_grad=True)
    value = evaluate(spline, coefficients, distances)
    (slope,) = torch.autograd.grad(value.sum(), distances, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), distances)
    for derivative in (value, slope, curvature):
        torch.testing.assert_close(derivative, torch.zeros(4), rtol=0, atol=1e-6)


def test_continuous_to_second_order_across_knots() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    coefficients = table(spline, torch.randn(KNOTS - 1))
    knots = CUTOFF / KNOTS * torch.arange(1, KNOTS)

    def derivatives(distances: Tensor) -> list[Tensor]:
        distances = distances.requires_grad_()
        found = [evaluate(spline, coefficients, distances)]
        for _ in range(2):
            found += torch.autograd.grad(found[-1].sum(), distances, create_graph=True)
        return found

    for left, right in zip(derivatives(knots - 1e-9), derivatives(knots + 1e-9), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-5)


def test_goes_through_the_values() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    values = torch.randn(KNOTS - 1)
    found = evaluate(spline, table(spline, values), spline.knots())
    torch.testing.assert_close(found, values, rtol=0, atol=1e-13)


@pytest.mark.parametrize("knots", [64, 256])
def test_error_falls_with_the_fourth_power_of_the_spacing(knots: int) -> None:
    spline = CubicSpline(CUTOFF, knots)

    def exact(distances: Tensor) -> Tensor:
        return torch.cos(distances) * (spline.support**2 - distances**2) ** 4

    distances = torch.linspace(0.0, CUTOFF - 0.5, 500)
    found = evaluate(spline, table(spline, exact(spline.knots())), distances)
    error = (found - exact(distances)).abs().max() / exact(distances).abs().max()
    h = CUTOFF / knots
    assert 0.001 * h**4 < error < h**4


def test_first_derivative_checks() -> None:
    spline = CubicSpline(CUTOFF, KNOTS)
    distances = torch.rand(7, requires_grad=True) * 4
    assert torch.autograd.gradcheck(lambda r: spline(r)[0], distances)
    assert torch.autograd.gradgradcheck(lambda r: spline(r)[0], distances)


def test_too_few_knots() -> None:
    with pytest.raises(ValueError, match="at least 8 knots, got num_knots=4"):
        CubicSpline(CUTOFF, 4)
