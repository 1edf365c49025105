"""Spherical harmonics: e3nn's values, symmetry, orthonormality, derivatives, edge cases."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from e3nn import o3 as e3nn

from molnet import o3
from molnet.o3 import Irreps, SphericalHarmonics, spherical_harmonics

NORMALIZATIONS = ["integral", "component", "norm"]
DEGREES = [0, 1, 2, 5, 11, [0, 1, 2, 3], [3, 0, 3, 1], range(12), "0e + 1o + 2e"]
DEGREES += ["2x1o + 0x2e + 3o", "1e + 2e"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("degrees", DEGREES, ids=str)
def test_agrees_with_e3nn(degrees, normalization, normalize, dtype):
    x = torch.randn(4, 5, 3, dtype=dtype)
    theirs = e3nn.SphericalHarmonics(
        e3nn.Irreps(degrees) if isinstance(degrees, str) else degrees, normalize, normalization
    )
    ours = SphericalHarmonics(degrees, normalize, normalization)
    assert ours.irreps_in == theirs.irreps_in
    assert ours.irreps_out == theirs.irreps_out
    Y, expected = ours(x), theirs(x)
    assert Y.dtype == dtype
    tolerance = 100 * torch.finfo(dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(Y, expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(spherical_harmonics(degrees, x, normalize, normalization), Y)


@pytest.mark.parametrize("normalize", [True, False])
def test_derivatives_agree_with_e3nn(normalize):
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    v, w = torch.randn(6, 25, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    derivatives = []
    for module in (SphericalHarmonics, e3nn.SphericalHarmonics):
        Y = module(list(range(5)), normalize, "component")(x)
        (first,) = torch.autograd.grad((Y * v).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad((first * w).sum(), x)
        derivatives.append((first.detach(), second))
    torch.testing.assert_close(*derivatives, atol=1e-11, rtol=0)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("l", [1, 4])
def test_gradients_of_first_and_second_order(l, normalize):
    x = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    function = partial(spherical_harmonics, list(range(l + 1)), normalize=normalize)
    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


def rotation_error(function, irreps: Irreps, R: torch.Tensor) -> float:
    """Largest deviation of f(R x) from D(R) f(x)."""
    x = torch.randn(20, 3, dtype=torch.float64)
    return (function(x @ R.T) - function(x) @ irreps.D_from_matrix(R).T).abs().max().item()


@pytest.mark.parametrize("sign", [1, -1])
def test_equivariance_under_rotation_and_inversion(sign):
    irreps = Irreps.spherical_harmonics(11)
    R = sign * o3.rand_matrix(dtype=torch.float64)
    Y = SphericalHarmonics(irreps, True, "component")
    assert rotation_error(Y, irreps, R) < 1e-11

    pseudo = Irreps.spherical_harmonics(4, p=1)
    Y = SphericalHarmonics(pseudo, True)
    assert Y.irreps_in == Irreps("1e")
    turn = Irreps("1e").D_from_matrix(R)
    x = torch.randn(20, 3, dtype=torch.float64)
    assert (Y(x @ turn.T) - Y(x) @ pseudo.D_from_matrix(R).T).abs().max() < 1e-12


def test_the_equivariance_check_rejects_broken_harmonics():
    irreps = Irreps.spherical_harmonics(2)
    R = o3.rand_matrix(dtype=torch.float64)

    def swapped(x: torch.Tensor) -> torch.Tensor:
        return spherical_harmonics(irreps, x, True)[:, [0, 1, 2, 3, 5, 4, 6, 7, 8]]

    assert rotation_error(swapped, irreps, R) > 1e-2
    assert rotation_error(partial(spherical_harmonics, irreps, normalize=True), irreps, -R) < 1e-13


def test_norms_and_orthonormality():
    # Gauss–Legendre points in cos β and equidistant α integrate polynomials exactly.
    nodes, weights = np.polynomial.legendre.leggauss(14)
    alpha = 2 * math.pi / 28 * torch.arange(28, dtype=torch.float64)
    x = o3.angles_to_xyz(alpha, torch.tensor(nodes).acos()[:, None])
    measure = torch.tensor(weights)[:, None] * (2 * math.pi / 28)
    Y = spherical_harmonics(range(12), x, False, "integral")
    overlap = torch.einsum("ba,bai,baj->ij", measure.expand(14, 28), Y, Y)
    torch.testing.assert_close(overlap, torch.eye(144).double(), atol=1e-12, rtol=0)

    for l in range(12):
        norm = spherical_harmonics(l, x, False, "norm").norm(dim=-1)
        component = spherical_harmonics(l, x, False, "component").norm(dim=-1)
        torch.testing.assert_close(norm, torch.ones_like(norm))
        torch.testing.assert_close(component, (2 * l + 1) ** 0.5 * norm)


def test_polynomials_are_homogeneous():
    x = torch.randn(5, 3, dtype=torch.float64)
    for l in (0, 1, 4):
        Y, direction = (spherical_harmonics(l, x, normalize) for normalize in (False, True))
        torch.testing.assert_close(Y, x.norm(dim=-1, keepdim=True) ** l * direction)
        torch.testing.assert_close(spherical_harmonics(l, 1e8 * x, True), direction)


@pytest.mark.parametrize("normalize", [True, False])
def test_zero_vector(normalize):
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1] = torch.tensor([1e-3, -2e-3, 5e-4])
    x.requires_grad_()
    Y = spherical_harmonics([0, 1, 2], x, normalize, "component")
    assert Y[0].tolist() == [1.0] + 8 * [0.0]
    (first,) = torch.autograd.grad(Y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert first.isfinite().all()
    assert second.isfinite().all()
    if normalize:
        assert not first[0].any()
        assert not second[0].any()
        assert first[1].any()
    else:  # the gradient of √3 (x + y + z), and the curvature of Y²
        torch.testing.assert_close(first[0], torch.full((3,), math.sqrt(3)).double())


def test_high_degrees_keep_single_precision():
    x = torch.randn(1000, 3, dtype=torch.float64)
    exact = spherical_harmonics(range(12), x, True, "component")
    single = spherical_harmonics(range(12), x.float(), True, "component")
    assert (single - exact).abs().max() < 2e-5


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 4), (5,), (2, 3, 4)])
@pytest.mark.parametrize("degrees", [*DEGREES, "", []], ids=str)
def test_batch_shapes(degrees, shape):
    module = SphericalHarmonics(degrees, True)
    assert module(torch.randn(*shape, 3)).shape == (*shape, module.irreps_out.dim)


def test_repeated_harmonics_in_both_layouts():
    x = torch.randn(4, 3)
    Y = SphericalHarmonics("2x1o + 3x2e", True)(x)
    inner = SphericalHarmonics("2x1o + 3x2e", True, layout="ir_mul")(x)
    torch.testing.assert_close(o3.change_layout(Y, "2x1o + 3x2e", "mul_ir", "ir_mul"), inner)
    assert not torch.equal(Y, inner)


def test_module_carries_no_state_and_follows_any_dtype():
    module = SphericalHarmonics("0e + 1o + 2e + 3o", True)
    assert repr(module) == "SphericalHarmonics(1x1o -> 1x0e+1x1o+1x2e+1x3o)"
    assert module.state_dict() == {}
    x = torch.randn(5, 3, dtype=torch.float64)
    exact = spherical_harmonics([0, 1, 2, 3], x, True)
    for twin in (module, module.double(), module.float(), module.half()):
        torch.testing.assert_close(twin(x), exact, atol=1e-14, rtol=0)


def test_polynomials_are_harmonic():
    x = torch.randn(3, dtype=torch.float64)
    for l in range(6):
        for i in range(2 * l + 1):
            curvature = torch.autograd.functional.hessian(
                lambda x, l=l, i=i: spherical_harmonics(l, x, False)[i], x, vectorize=i == 0
            )
            assert abs(curvature.trace().item()) < 1e-11
    assert curvature.abs().max() > 1e-3


def test_third_derivatives():
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def second(x: torch.Tensor) -> torch.Tensor:
        (first,) = torch.autograd.grad(
            spherical_harmonics(3, x, True).sin().sum(), x, create_graph=True
        )
        return torch.autograd.grad(first.square().sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(second, (x,))


def test_export_with_any_batch_size():
    module = SphericalHarmonics("0e + 1o + 2e + 3o", True, "component")
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.randn(4, 3),), dynamic_shapes=({0: batch},))
    x = torch.randn(9, 3)
    torch.testing.assert_close(program.module()(x), module(x))


@pytest.mark.slow
def test_compiles_into_one_graph():
    module = SphericalHarmonics("0e + 1o + 2e + 3o", True, "component").double()
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    Y = torch.compile(module, fullgraph=True)(x)
    torch.testing.assert_close(Y, module(x))
    (compiled,) = torch.autograd.grad(Y.square().sum() + Y.sum(), x)
    (eager,) = torch.autograd.grad(module(x).square().sum() + module(x).sum(), x)
    torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SphericalHarmonics(-1, True), "l = -1"),
        (lambda: SphericalHarmonics("1x", True), "1x"),
        (lambda: SphericalHarmonics("0e + 1e + 1o", True), r"1e vector transform as 1e.*hold 1o"),
        (lambda: SphericalHarmonics("2o", True), r"transform as 2e.*hold 2o"),
        (lambda: SphericalHarmonics("1o", True, irreps_in="1e"), "hold 1o"),
        (lambda: SphericalHarmonics("1o", True, irreps_in="2x1o"), 'got "2x1o"'),
        (lambda: SphericalHarmonics("1o", True, "orthonormal"), "orthonormal"),
        (lambda: SphericalHarmonics("1o", True, layout="rows"), "rows"),
        (lambda: spherical_harmonics(1, torch.zeros(3), True, "unit"), "unit"),
        (lambda: spherical_harmonics(1, torch.zeros(3, 2), True), r"\[3, 2\]"),
        (lambda: spherical_harmonics(1, torch.zeros(3, dtype=torch.long), True), "int64"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("lmax", [1, 3])
def test_transforms_of_torch_func(lmax, normalize):
    """Derived from other operations than backward passes, and the same."""
    module = SphericalHarmonics(list(range(lmax + 1)), normalize, "component").double()
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(module)(x), module(x))
    expected = torch.stack([torch.autograd.functional.jacobian(module, each) for each in x])
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(torch.vmap(jacobian(module))(x), expected)

    def energy(x: torch.Tensor) -> torch.Tensor:
        return module(x).sin().sum()

    curvature = torch.func.hessian(energy)(x[0])
    torch.testing.assert_close(curvature, torch.autograd.functional.hessian(energy, x[0]))
    slope = torch.func.grad(energy)(torch.zeros(3, dtype=torch.float64))
    assert slope.isfinite().all()
    assert normalize != bool(slope.any())
