"""Radial bases and envelopes: e3nn's values, orthonormality, smoothness at both ends."""

import math

import numpy as np
import pytest
import torch
from e3nn import math as e3nn

from molnet.nn import (
    BesselBasis,
    CosineEnvelope,
    GaussianBasis,
    PolynomialEnvelope,
    SmoothFiniteBasis,
    bessel,
    soft_one_hot_linspace,
    soft_unit_step,
)

BASES = [BesselBasis(5.0, 8), GaussianBasis(5.0, 8), SmoothFiniteBasis(5.0, 8)]
ENVELOPES = [PolynomialEnvelope(5.0), PolynomialEnvelope(5.0, 3), CosineEnvelope(5.0)]


def derivatives(function, at: float, order: int) -> list[float]:
    """Value and derivatives up to `order` of a function of one number."""
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    values = [function(x)]
    for _ in range(order):
        (slope,) = torch.autograd.grad(values[-1], x, create_graph=True, materialize_grads=True)
        values.append(slope)
    return [value.item() for value in values]


@pytest.mark.parametrize("number", [2, 5, 16])
@pytest.mark.parametrize("cutoff", [True, False])
@pytest.mark.parametrize("basis", ["gaussian", "cosine", "smooth_finite", "fourier", "bessel"])
def test_soft_one_hot_agrees_with_e3nn(basis, cutoff, number):
    x = torch.linspace(-1, 3, 157, dtype=torch.float64)
    torch.set_default_dtype(torch.float64)  # e3nn takes one of its constants in the default dtype
    try:
        theirs = e3nn.soft_one_hot_linspace(x, -0.51, 2.0, number, basis, cutoff)
    finally:
        torch.set_default_dtype(torch.float32)
    ours = soft_one_hot_linspace(x, -0.51, 2.0, number, basis, cutoff)
    torch.testing.assert_close(ours, theirs, atol=1e-13, rtol=0)
    single = soft_one_hot_linspace(x.float().reshape(1, 157), -0.51, 2.0, number, basis, cutoff)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single[0], theirs.float(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("basis", ["gaussian", "cosine", "smooth_finite", "fourier"])
@pytest.mark.parametrize("cutoff", [True, False])
def test_squares_of_the_soft_one_hot_sum_to_one(basis, cutoff):
    x = torch.linspace(0.3, 0.7, 200, dtype=torch.float64)
    y = soft_one_hot_linspace(x, 0.0, 1.0, 20, basis, cutoff)
    assert abs(y.square().sum(-1).mean().item() - 1) < 0.05


def test_bessel_agrees_with_e3nn():
    x = torch.linspace(0, 6, 101, dtype=torch.float64)
    torch.testing.assert_close(bessel(x, 7, 5.0), e3nn.bessel(x, 7, 5.0))
    assert torch.equal(BesselBasis(5.0, 7)(x), bessel(x, 7, 5.0))


def test_bessel_functions_are_orthonormal_and_vanish_at_the_cutoff():
    nodes, weights = np.polynomial.legendre.leggauss(60)
    r, dr = torch.tensor(2.0 * (nodes + 1)), torch.tensor(2.0 * weights)
    B = BesselBasis(4.0, 8)(r)
    overlap = torch.einsum("r,ri,rj->ij", dr * r.square(), B, B)
    torch.testing.assert_close(overlap, torch.eye(8).double(), atol=1e-12, rtol=0)
    assert BesselBasis(4.0, 8)(torch.tensor(4.0).double()).abs().max() < 1e-14


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bessel_functions_are_smooth_at_zero(dtype):
    r = torch.tensor([0.0, 1e-12, 1e-6, 1e-3, 0.01], dtype=dtype, requires_grad=True)
    n = torch.arange(1, 4, dtype=dtype)
    frequency = n * math.pi / 5
    B = BesselBasis(5.0, 3)(r)
    limit = math.sqrt(2 / 5) * frequency
    torch.testing.assert_close(B[:3], limit.expand(3, 3), atol=1e-6, rtol=0)
    (slope,) = torch.autograd.grad(B.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    expected = -(limit * frequency**2 / 3).sum()
    torch.testing.assert_close(curvature[:4], expected.expand(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(slope, expected * r, atol=1e-5, rtol=0)


@pytest.mark.parametrize("power", [2, 3, 6, 12])
def test_polynomial_envelope_is_smooth_at_the_cutoff(power):
    envelope = PolynomialEnvelope(5.0, power)
    for at in (5.0, 5.0 + 1e-9, 7.0):
        assert max(map(abs, derivatives(envelope, at, 2))) < 1e-12
    assert abs(derivatives(envelope, 5.0 - 1e-12, 3)[3]) > 0.1  # the third one jumps
    assert envelope(torch.tensor(0.0)) == 1
    if power > 2:
        assert derivatives(envelope, 0.0, 2) == [1, 0, 0]
    r = torch.linspace(0, 5, 50, dtype=torch.float64)
    assert (envelope(r).diff() <= 0).all()
    p, x = power, r / 5
    explicit = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1)
    torch.testing.assert_close(envelope(r), explicit - p * (p + 1) / 2 * x ** (p + 2))
    edge = torch.tensor([4.995, 4.9995], dtype=torch.float64)
    torch.testing.assert_close(envelope(edge.float()), envelope(edge).float(), rtol=1e-2, atol=0)


def test_cosine_envelope_at_the_cutoff():
    value, slope, curvature = derivatives(CosineEnvelope(5.0), 5.0 - 1e-12, 2)
    assert abs(value) < 1e-12
    assert abs(slope) < 1e-12
    assert curvature == pytest.approx((math.pi / 5) ** 2 / 2)
    assert max(map(abs, derivatives(CosineEnvelope(5.0), 6.0, 2))) < 1e-15
    assert CosineEnvelope(5.0)(torch.tensor([0.0, 2.5])).tolist() == pytest.approx([1.0, 0.5])


def test_gaussian_basis():
    basis = GaussianBasis(4.0, 5)
    values = basis(torch.tensor([0.0, 1.0, 2.5]))
    expected = [[math.exp(-0.5 * (r - c) ** 2) for c in range(5)] for r in (0.0, 1.0, 2.5)]
    torch.testing.assert_close(values, torch.tensor(expected))


def test_finite_bumps_end_smoothly():
    basis = SmoothFiniteBasis(4.0, 3)  # centres 1, 2, 3
    for at in (0.0, 1e-7, 1e-3, 1.0, 2.0, 5.0):
        assert all(math.isfinite(d) for d in derivatives(lambda r: basis(r).sum(), at, 3))
    assert basis(torch.tensor([-0.1, 0.0, 4.0, 9.0])).count_nonzero() == 0
    assert derivatives(soft_unit_step, 0.0, 3) == [0, 0, 0, 0]
    assert derivatives(soft_unit_step, 1e-30, 3) == [0, 0, 0, 0]
    assert derivatives(soft_unit_step, 1.0, 1) == pytest.approx([math.exp(-1), math.exp(-1)])


@pytest.mark.parametrize("module", [*BASES, *ENVELOPES], ids=repr)
def test_gradients_of_first_and_second_order(module):
    r = torch.tensor([0.0, 0.4, 1.7, 3.3, 4.9, 5.6], dtype=torch.float64)[1:].requires_grad_()
    assert torch.autograd.gradcheck(module, (r,))
    assert torch.autograd.gradgradcheck(module, (r,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (4,), (2, 5)])
@pytest.mark.parametrize("module", [*BASES, *ENVELOPES], ids=repr)
def test_shapes_and_dtypes(module, shape, dtype):
    values = module(4 * torch.rand(shape, dtype=dtype))
    assert values.dtype == dtype
    assert values.shape == (shape if module in ENVELOPES else (*shape, 8))
    assert module.state_dict() == {}


@pytest.mark.parametrize("module", [*BASES, *ENVELOPES], ids=repr)
def test_export_with_any_batch_size(module):
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.rand(4),), dynamic_shapes=({0: batch},))
    r = 6 * torch.rand(9)
    torch.testing.assert_close(program.module()(r), module(r))


@pytest.mark.slow
@pytest.mark.parametrize("module", [*BASES, *ENVELOPES], ids=repr)
def test_compiles_into_one_graph(module):
    r = (6 * torch.rand(9, dtype=torch.float64)).requires_grad_()
    compiled = torch.compile(module, fullgraph=True)(r)
    torch.testing.assert_close(compiled, module(r))
    slopes = [torch.autograd.grad(values.square().sum(), r)[0] for values in (compiled, module(r))]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BesselBasis(0.0, 8), "cutoff > 0 and finite, got 0.0"),
        (lambda: BesselBasis(5.0, 0), "num >= 1, got 0"),
        (lambda: BesselBasis(math.inf, 1), "got inf"),
        (lambda: GaussianBasis(math.nan, 4), "got nan"),
        (lambda: GaussianBasis(5.0, 1), "num >= 2, got 1"),
        (lambda: SmoothFiniteBasis(-1.0, 3), "got -1"),
        (lambda: PolynomialEnvelope(5.0, 1), "power >= 2, got 1"),
        (lambda: PolynomialEnvelope(5.0, 2.5), "power >= 2, got 2.5"),
        (lambda: CosineEnvelope(-2.0), "got -2"),
        (lambda: soft_one_hot_linspace(torch.rand(2), 0, 1, 4, "bessel"), "cutoff must be given"),
        (lambda: soft_one_hot_linspace(torch.rand(2), 0, 1, 4, cutoff=True), "got None"),
        (lambda: soft_one_hot_linspace(torch.rand(2), 0, 1, 1, "cosine", False), ">= 2, got 1"),
        (lambda: soft_one_hot_linspace(torch.rand(2), 1, 1, 4, "cosine", False), "end - start"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("kind", [BesselBasis, GaussianBasis])
def test_a_trainable_basis_starts_as_the_fixed_one(kind: type) -> None:
    fixed, trained = kind(5.0, 6).double(), kind(5.0, 6, trainable=True).double()
    assert not list(fixed.parameters())
    (weight,) = trained.parameters()
    r = torch.linspace(0, 5, 11, dtype=torch.float64)
    torch.testing.assert_close(trained(r), fixed(r))
    trained(r).square().sum().backward()
    assert weight.grad.abs().min() > 0
    with torch.no_grad():
        weight += 0.1
    assert not torch.allclose(trained(r), fixed(r))
