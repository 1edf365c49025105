"""Wigner matrices and 3j symbols: e3nn's values, the identities that define them, caching."""

import itertools

import pytest
import torch
from e3nn import o3 as e3nn
from torch._subclasses.fake_tensor import FakeTensorMode

from molnet import o3

TRIANGLES = [
    (l1, l2, l3)
    for l1, l2 in itertools.product(range(5), repeat=2)
    for l3 in range(abs(l1 - l2), min(l1 + l2, 4) + 1)
]


@pytest.mark.parametrize("degrees", [*TRIANGLES, (6, 5, 3), (7, 7, 7), (11, 10, 8), (11, 11, 11)])
def test_3j_agree_with_e3nn(degrees):
    ours = o3.wigner_3j(*degrees, dtype=torch.float64)
    theirs = e3nn.wigner_3j(*degrees, dtype=torch.float64)
    torch.testing.assert_close(ours, theirs, atol=1e-14, rtol=0)
    assert torch.equal(ours != 0, theirs.abs() > 1e-12)  # zeros are exact


@pytest.mark.parametrize("degrees", [(1, 1, 0), (2, 1, 3), (3, 2, 2), (4, 4, 4), (11, 7, 5)])
def test_3j_are_invariant(degrees):
    C = o3.wigner_3j(*degrees, dtype=torch.float64)
    angles = o3.rand_angles(dtype=torch.float64)
    D1, D2, D3 = (o3.wigner_D(l, *angles) for l in degrees)
    rotated = torch.einsum("abc,ai,bj,ck->ijk", C, D1, D2, D3)
    torch.testing.assert_close(rotated, C, atol=1e-13, rtol=0)
    torch.testing.assert_close(C.norm(), torch.tensor(1.0, dtype=torch.float64))
    broken = C.clone()
    broken.view(-1)[C.abs().argmax()] *= -1
    assert (torch.einsum("abc,ai,bj,ck->ijk", broken, D1, D2, D3) - broken).abs().max() > 1e-2 or (
        degrees == (1, 1, 0) and torch.equal(broken, -C)
    )


def test_3j_of_one_product_are_orthogonal():
    basis = torch.cat(
        [(2 * l + 1) ** 0.5 * o3.wigner_3j(3, 2, l, dtype=torch.float64) for l in range(1, 6)], -1
    ).flatten(0, 1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(35, dtype=torch.float64))


def test_results_are_copies_of_the_asked_type():
    first = o3.wigner_3j(2, 1, 1, dtype=torch.float64)
    first.zero_()
    assert o3.wigner_3j(2, 1, 1, dtype=torch.float64).norm() > 0.9
    assert o3.wigner_3j(2, 1, 1).dtype == torch.get_default_dtype()
    o3.so3_generators(2).zero_()
    assert o3.so3_generators(2).norm() > 0
    assert o3.change_basis_real_to_complex(2, dtype=torch.float32).dtype == torch.complex64


def test_cache_is_out_of_reach_of_modes():
    with torch.device("meta"):
        assert o3.wigner_3j(5, 3, 2).is_meta
    with FakeTensorMode():
        o3.wigner_3j(5, 3, 3)
        o3.wigner_D(5, *torch.zeros(3))
    for l3 in (2, 3):
        torch.testing.assert_close(o3.wigner_3j(5, 3, l3), e3nn.wigner_3j(5, 3, l3))
    torch.testing.assert_close(o3.wigner_D(5, *torch.zeros(3)), torch.eye(11))


@pytest.mark.parametrize("l", [0, 1, 2, 3, 6, 11])
def test_D_agrees_with_e3nn(l):
    angles = torch.rand(3, 5, dtype=torch.float64) * 8 - 4
    torch.set_default_dtype(torch.float64)  # e3nn computes its generators in the default dtype
    try:
        expected = e3nn.wigner_D(l, *angles)
        generators, basis = e3nn.so3_generators(l), e3nn.change_basis_real_to_complex(l)
        torch.testing.assert_close(o3.so3_generators(l), generators)
        torch.testing.assert_close(o3.change_basis_real_to_complex(l), basis)
        torch.testing.assert_close(o3.su2_generators(l), e3nn.su2_generators(l))
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(o3.wigner_D(l, *angles), expected, atol=1e-12, rtol=0)
    single = o3.wigner_D(l, *angles.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, expected.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("j", [0, 0.5, 1, 1.5, 2.5, 3, 5.5])
def test_generators_of_su2(j, float64):
    X, Y, Z = X_all = o3.su2_generators(j)
    torch.testing.assert_close(X_all, e3nn.su2_generators(j))
    torch.testing.assert_close(X @ Y - Y @ X, Z, atol=1e-14, rtol=0)
    torch.testing.assert_close(Y @ Z - Z @ Y, X, atol=1e-14, rtol=0)
    squared = -j * (j + 1) * torch.eye(int(2 * j + 1), dtype=torch.complex128)
    torch.testing.assert_close(X @ X + Y @ Y + Z @ Z, squared, atol=1e-13, rtol=0)
    # A turn by 2π is minus one for half-integers, and one for integers.
    turn = torch.linalg.matrix_exp(2 * torch.pi * Y)
    sign = (-1) ** int(2 * j)
    torch.testing.assert_close(turn, sign * torch.eye(len(turn)).to(turn), atol=1e-13, rtol=0)


@pytest.mark.parametrize("j", [-0.5, -1, 0.3, float("nan"), float("inf")])
def test_spins_that_do_not_exist_are_refused(j):
    with pytest.raises(ValueError, match=r"expected j = 0, 1/2, 1"):
        o3.su2_generators(j)


@pytest.mark.parametrize("l", [1, 4, 11])
def test_D_is_a_representation(l):
    A, B = o3.rand_matrix(2, 4, dtype=torch.float64)
    a, b, ab = (o3.wigner_D(l, *o3.matrix_to_angles(R)) for R in (A, B, A @ B))
    torch.testing.assert_close(a @ b, ab, atol=1e-12, rtol=0)
    assert (b @ a - ab).abs().max() > 0.1
    if l == 1:
        torch.testing.assert_close(a, A, atol=1e-13, rtol=0)


@pytest.mark.parametrize("l", [1, 2, 5])
def test_generators(l):
    X, Y, Z = o3.so3_generators(l, dtype=torch.float64)
    torch.testing.assert_close(X @ Y - Y @ X, Z, atol=1e-13, rtol=0)
    torch.testing.assert_close(Y @ Z - Z @ Y, X, atol=1e-13, rtol=0)
    torch.testing.assert_close(X, -X.mT)
    angle, zero = torch.tensor([0.7, 0.0], dtype=torch.float64)
    about_x, about_y = o3.wigner_D(l, zero, angle, zero), o3.wigner_D(l, angle, zero, zero)
    torch.testing.assert_close(about_x, torch.linalg.matrix_exp(angle * X))
    torch.testing.assert_close(about_y, torch.linalg.matrix_exp(angle * Y))


def test_D_shapes_and_gradients():
    a, b, c = torch.rand(3, dtype=torch.float64)
    assert o3.wigner_D(2, a.expand(4, 1), b.expand(3), c).shape == (4, 3, 5, 5)
    assert o3.wigner_D(2, a.expand(0), b, c).shape == (0, 5, 5)
    leaves = [angle.clone().requires_grad_() for angle in (a, b, c)]
    assert torch.autograd.gradcheck(lambda *angles: o3.wigner_D(3, *angles), leaves)
    assert torch.autograd.gradgradcheck(lambda *angles: o3.wigner_D(3, *angles), leaves)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: o3.wigner_3j(1, 1, 3), "l1 = 1, l2 = 1, l3 = 3"),
        (lambda: o3.wigner_3j(-1, 1, 1), "got -1"),
        (lambda: o3.wigner_3j(1.0, 1, 1), "got 1.0"),
        (lambda: o3.wigner_D(-2, *torch.zeros(3)), "got -2"),
        (lambda: o3.so3_generators(-1), "got -1"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
