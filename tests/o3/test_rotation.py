"""Rotations: conversions in every direction, compositions, special angles, uniform sampling."""

import itertools
import math

import pytest
import torch
from e3nn import o3 as e3nn

from molnet import o3

FORMS = ["angles", "matrix", "quaternion", "axis_angle"]


def convert(source: str, target: str, value):
    """`value` in the form `target`, through the public conversion of that name."""
    if source == target:
        return value
    value = value if isinstance(value, tuple) else (value,)
    return getattr(o3, f"{source}_to_{target}")(*value)


def rotations() -> torch.Tensor:
    """Random rotations, and those on which conversions are singular."""
    right = math.pi / 2
    turns = [matrix(torch.tensor(angle, dtype=torch.float64))
             for matrix in (o3.matrix_x, o3.matrix_y, o3.matrix_z)
             for angle in (0.0, 1e-9, right, math.pi, -right, math.pi - 1e-7)]  # fmt: skip
    half = o3.quaternion_to_matrix(
        torch.nn.functional.normalize(
            torch.tensor([[0.0, 1, 1, 0], [0, 1, -1, 1], [0, 0, 1, -1]]).double(),
            dim=-1,
        )
    )
    return torch.cat([torch.stack(turns), half, o3.rand_matrix(50, dtype=torch.float64)])


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMS, 2)))
def test_round_trips(source, target):
    R = rotations()
    there = convert(source, target, convert("matrix", source, R))
    back = convert(target, "matrix", there)
    torch.testing.assert_close(back, R, atol=2e-7 if "angle" in source + target else 1e-12, rtol=0)
    generic = slice(-50, None)
    torch.testing.assert_close(back[generic], R[generic], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMS, 2)))
def test_conversions_agree_with_e3nn(source, target):
    value = convert("matrix", source, o3.rand_matrix(20, dtype=torch.float64))
    ours = convert(source, target, value)
    theirs = getattr(e3nn, f"{source}_to_{target}")(
        *(value if isinstance(value, tuple) else (value,))
    )
    torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=0)  # e3nn's acos loses digits


@pytest.mark.parametrize("form", FORMS)
def test_composition_and_inverse(form):
    A, B = o3.rand_matrix(2, 20, dtype=torch.float64)
    a, b = convert("matrix", form, A), convert("matrix", form, B)
    a, b = (v if isinstance(v, tuple) else (v,) for v in (a, b))
    if form != "matrix":
        product = convert(form, "matrix", getattr(o3, f"compose_{form}")(*a, *b))
        torch.testing.assert_close(product, A @ B, atol=1e-12, rtol=0)
        assert (product - B @ A).abs().max() > 0.1
    if form in ("angles", "quaternion"):
        inverse = convert(form, "matrix", getattr(o3, f"inverse_{form}")(*a))
        torch.testing.assert_close(inverse, A.mT, atol=1e-12, rtol=0)
        identity = getattr(o3, f"identity_{form}")(4, dtype=torch.float64)
        eye = torch.eye(3, dtype=torch.float64).expand(4, 3, 3)
        torch.testing.assert_close(convert(form, "matrix", identity), eye)


def test_angles_are_about_y_x_y():
    a, b, c = o3.rand_angles(10, dtype=torch.float64)
    expected = o3.matrix_y(a) @ o3.matrix_x(b) @ o3.matrix_y(c)
    torch.testing.assert_close(o3.angles_to_matrix(a, b, c), expected)
    for axis, matrix in enumerate((o3.matrix_x, o3.matrix_y, o3.matrix_z)):
        unit = torch.eye(3, dtype=torch.float64)[axis]
        torch.testing.assert_close(o3.axis_angle_to_matrix(3 * unit, a), matrix(a))


def test_half_turns_keep_their_axis():
    axis = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    R = 2 * axis[:, :, None] * axis[:, None, :] - torch.eye(3, dtype=torch.float64)
    found, angle = o3.matrix_to_axis_angle(R)
    torch.testing.assert_close(angle, torch.full_like(angle, math.pi))
    torch.testing.assert_close((found * axis).sum(-1).abs(), torch.ones_like(angle))


def test_points_of_the_sphere():
    xyz = torch.nn.functional.normalize(torch.randn(30, 3, dtype=torch.float64), dim=-1)
    alpha, beta = o3.xyz_to_angles(5 * xyz)
    torch.testing.assert_close(o3.angles_to_xyz(alpha, beta), xyz)
    torch.testing.assert_close((alpha, beta), e3nn.xyz_to_angles(xyz))
    y = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(o3.angles_to_matrix(alpha, beta, 0 * alpha) @ y, xyz)


@pytest.mark.parametrize("form", FORMS)
def test_sampling_is_uniform(form):
    sample = getattr(o3, f"rand_{form}")(20000, dtype=torch.float64)
    R = convert(form, "matrix", sample)
    # Orthogonality of the matrix elements of l = 1: mean 0, mean products δδ/3.
    second = torch.einsum("nij,nkl->ijkl", R, R) / len(R)
    eye = torch.eye(3, dtype=torch.float64)
    assert R.mean(0).abs().max() < 0.03
    torch.testing.assert_close(second, torch.einsum("ik,jl->ijkl", eye, eye) / 3, atol=0.02, rtol=0)
    uneven = o3.angles_to_matrix(*torch.rand(3, 20000, dtype=torch.float64) * math.pi)
    assert uneven.mean(0).abs().max() > 0.1


@pytest.mark.parametrize("form", FORMS)
def test_random_rotations_shapes_and_gradients(form):
    draw = getattr(o3, f"rand_{form}")
    torch.manual_seed(5)
    first = draw(2, 3, requires_grad=True, dtype=torch.float32)
    torch.manual_seed(5)
    second = draw(2, 3, requires_grad=True, dtype=torch.float32)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for tensor in first if isinstance(first, tuple) else (first,):
        assert tensor.shape[:2] == (2, 3)
        assert tensor.is_leaf
        assert tensor.requires_grad
        assert tensor.dtype == torch.float32
    assert convert(form, "matrix", draw(0)).shape == (0, 3, 3)
    assert convert(form, "matrix", draw()).shape == (3, 3)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMS, 2)))
def test_gradients(source, target):
    value = convert("matrix", source, o3.rand_matrix(3, dtype=torch.float64))
    value = value if isinstance(value, tuple) else (value,)
    leaves = [part.clone().requires_grad_() for part in value]
    if source == "matrix":  # stay among rotations: vary a generator
        v = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)

        def rotated(v: torch.Tensor):
            X = torch.einsum("ni,ijk->njk", v, o3.so3_generators(1, dtype=v.dtype))
            return convert("matrix", target, torch.linalg.matrix_exp(X) @ leaves[0].detach())

        assert torch.autograd.gradcheck(rotated, (v,))
    else:
        assert torch.autograd.gradcheck(getattr(o3, f"{source}_to_{target}"), leaves)


def test_improper_matrices_are_refused():
    R = o3.rand_matrix(3)
    R[1] *= -1
    for conversion in (o3.matrix_to_angles, o3.matrix_to_quaternion, o3.matrix_to_axis_angle):
        with pytest.raises(ValueError, match="determinant of -1"):
            conversion(R)
        with pytest.raises(ValueError, match=r"\[3, 2\]"):
            conversion(R[0, :, :2])
        with pytest.raises(ValueError, match="nan"):
            conversion(R * math.nan)
