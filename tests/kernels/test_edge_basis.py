"""The compiled edge basis against the same in plain PyTorch, to third order."""

import math

import pytest
import torch
from torch import Tensor

from molnet.kernels import CompiledEdgeBasis
from molnet.kernels.compiler import library
from molnet.nn.spline import CubicSpline
from molnet.o3 import SphericalHarmonics

pytestmark = pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")

CUTOFF, NUM_KNOTS = 4.0, 16


def make(l_max: int) -> CompiledEdgeBasis:
    harmonics = SphericalHarmonics(list(range(l_max + 1)), True, "component")
    spline = CubicSpline(CUTOFF, NUM_KNOTS)

    def in_pytorch(vectors: Tensor) -> tuple[Tensor, Tensor]:
        return harmonics(vectors), spline(vectors.norm(dim=1))[0]

    poles = tuple(math.sqrt(2 * l + 1) for l in range(l_max + 1))
    return CompiledEdgeBasis(poles, True, NUM_KNOTS, CUTOFF, in_pytorch)


def some_vectors(num: int, dtype: torch.dtype = torch.float64) -> Tensor:
    directions = torch.nn.functional.normalize(torch.randn(num, 3, dtype=dtype), dim=1)
    return directions * torch.empty(num, 1, dtype=dtype).uniform_(0.3, 1.2 * CUTOFF)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("num_edges", [0, 1, 8, 61])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_pytorch_to_third_order(l_max: int, num_edges: int, dtype: torch.dtype) -> None:
    basis = make(l_max)
    vectors = some_vectors(num_edges, dtype).requires_grad_()
    t1, t2 = torch.randn(2, num_edges, 3, dtype=dtype)
    found = []
    for Y, B in (basis(vectors)[:2], basis.reference(vectors)):
        weights = torch.linspace(0.5, 1.5, Y.shape[1] + 4, dtype=dtype)
        f = (torch.cat([Y, B], dim=1) * weights).sin().sum()
        (first,) = torch.autograd.grad(f, vectors, create_graph=True)
        (second,) = torch.autograd.grad(first, vectors, t1, create_graph=True)
        (third,) = torch.autograd.grad(second, vectors, t2)
        found.append((Y, B, first, second, third))
    tolerance = 1e-3 if dtype == torch.float32 else 1e-10
    for ours, theirs in zip(*found, strict=True):
        scale = 1 + theirs.abs().max() if theirs.numel() else 1
        torch.testing.assert_close(ours / scale, theirs / scale, rtol=0, atol=tolerance)


def test_gradients_are_right() -> None:
    basis = make(2)
    vectors = some_vectors(5).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: basis(v)[:2], (vectors,))
    assert torch.autograd.gradgradcheck(lambda v: basis(v)[:2], (vectors,))


def test_rows_are_those_of_the_spline() -> None:
    vectors = some_vectors(1000)
    _, rows = CubicSpline(CUTOFF, NUM_KNOTS)(vectors.norm(dim=1))
    torch.testing.assert_close(make(1)(vectors)[2], rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slopes_at_knots_are_of_the_interval_that_was_found(dtype: torch.dtype) -> None:
    """Lengths within some rounding errors of a knot, which belong to either side of it."""
    basis, spline = make(1), CubicSpline(CUTOFF, NUM_KNOTS)
    number = 50_000
    knots = torch.arange(1, NUM_KNOTS, dtype=torch.float64).repeat(number)[:number]
    rounding = 4 * torch.finfo(dtype).eps * torch.randn(number, dtype=torch.float64)
    lengths = knots * (CUTOFF / NUM_KNOTS) * (1 + rounding)
    directions = torch.nn.functional.normalize(torch.randn(number, 3, dtype=torch.float64), dim=1)
    vectors = (directions * lengths.unsqueeze(1)).to(dtype).requires_grad_()
    table = spline.table(torch.randn(NUM_KNOTS - 1, dtype=torch.float64).unsqueeze(1)).squeeze(1)

    _, B, rows = basis(vectors)
    coefficients = table[rows.unsqueeze(1) + torch.arange(4)].to(dtype)
    tangent = torch.randn(number, 3, dtype=dtype)
    (gradient,) = torch.autograd.grad((B * coefficients).sum(), vectors, create_graph=True)

    exact = vectors.detach().double().requires_grad_()
    B_exact, rows_exact = spline(exact.norm(dim=1))
    values = (B_exact * table[rows_exact.unsqueeze(1) + torch.arange(4)]).sum()
    (expected,) = torch.autograd.grad(values, exact, create_graph=True)
    assert (gradient - expected).abs().max() < 3e3 * torch.finfo(dtype).eps * expected.abs().max()

    # The tangent, which training on forces takes: the gradient of gradient·t by what weighs B.
    weights = coefficients.clone().requires_grad_()
    (by_weights,) = torch.autograd.grad((B * weights).sum(), vectors, create_graph=True)
    (slopes,) = torch.autograd.grad(by_weights, weights, tangent)
    along = (expected.detach() * tangent).sum()
    assert torch.allclose((slopes * coefficients).sum().double(), along, rtol=1e-3)


def test_a_vector_of_no_length_has_no_direction() -> None:
    vectors = torch.zeros(1, 3, requires_grad=True)
    Y, B, rows = make(2)(vectors)
    (gradient,) = torch.autograd.grad(Y.sum() + B.sum(), vectors)
    assert Y.tolist() == [[1.0] + [0.0] * 8]
    assert rows.tolist() == [0]
    assert gradient.tolist() == [[0.0] * 3]


def test_vectors_in_any_memory_order() -> None:
    vectors = some_vectors(9)
    turned = vectors.t().contiguous().t()
    torch.testing.assert_close(make(2)(turned)[0], make(2)(vectors)[0], rtol=0, atol=0)
