r"""Rotations of three-dimensional space, as matrices, angles, quaternions or axis and angle.

A rotation acts on column vectors (x, y, z) from the left. Its angles are about the axes Y, X, Y:

    R(α, β, γ) = Ry(α) Rx(β) Ry(γ)

so γ is applied first. α and γ lie in (−π, π], β in [0, π]. A quaternion q = (w, x, y, z) is
(cos θ/2, n sin θ/2) for the rotation by θ about the unit vector n; q and −q are the same rotation.
Every function takes any leading shape [...], keeps dtype and device, and is differentiable away
from the coordinate singularities (β = 0 or π; θ = 0 or π).
Angles are in radian.

A quarter turn about Z, in every form:

>>> q = axis_angle_to_quaternion(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(math.pi / 2))
>>> q
tensor([0.7071, 0.0000, 0.0000, 0.7071])
>>> R = quaternion_to_matrix(q)
>>> torch.allclose(R, matrix_z(torch.tensor(math.pi / 2)), atol=1e-6)
True
>>> torch.allclose(angles_to_matrix(*matrix_to_angles(R)), R, atol=1e-6)
True
>>> axis, angle = matrix_to_axis_angle(R)
>>> axis.round().abs(), angle
(tensor([0., 0., 1.]), tensor(1.5708))
>>> compose_quaternion(q, inverse_quaternion(q)).round()  # no rotation
tensor([1., 0., 0., 0.])
"""

import math
from typing import TypeAlias

import torch
from torch import Tensor

Angles: TypeAlias = tuple[Tensor, Tensor, Tensor]


# --- random and identity rotations -----------------------------------------------------------


def rand_angles(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Angles:
    """Angles (α, β, γ), each [*shape], of rotations drawn uniformly (Haar measure)."""
    alpha, cos_beta, gamma = torch.rand(3, *shape, dtype=dtype, device=device)
    angles = 2 * math.pi * alpha - math.pi, (2 * cos_beta - 1).acos(), 2 * math.pi * gamma - math.pi
    return tuple(angle.requires_grad_(requires_grad) for angle in angles)


def rand_matrix(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Rotation matrices [*shape, 3, 3] drawn uniformly (Haar measure).

    >>> R = rand_matrix(10, dtype=torch.float64)
    >>> torch.allclose(R @ R.mT, torch.eye(3).double()), torch.allclose(R.det(), R.new_ones(10))
    (True, True)
    """
    R = angles_to_matrix(*rand_angles(*shape, dtype=dtype, device=device))
    return R.requires_grad_(requires_grad)


def rand_quaternion(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Unit quaternions [*shape, 4] of rotations drawn uniformly (Haar measure)."""
    q = torch.nn.functional.normalize(torch.randn(*shape, 4, dtype=dtype, device=device), dim=-1)
    return q.requires_grad_(requires_grad)


def rand_axis_angle(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Unit axes [*shape, 3], angles [*shape] in [0, π], of rotations drawn uniformly (Haar)."""
    q = _with_positive_w(rand_quaternion(*shape, dtype=dtype, device=device))
    axis, angle = quaternion_to_axis_angle(q)
    return axis.requires_grad_(requires_grad), angle.requires_grad_(requires_grad)


def identity_angles(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Angles:
    """Angles (0, 0, 0), each [*shape], of the identity."""
    alpha, beta, gamma = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(3))
    return tuple(angle.requires_grad_(requires_grad) for angle in (alpha, beta, gamma))  # type: ignore[return-value]


def identity_quaternion(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Quaternions (1, 0, 0, 0) of the identity, [*shape, 4]."""
    q = torch.zeros(*shape, 4, dtype=dtype, device=device)
    q[..., 0] = 1
    return q.requires_grad_(requires_grad)


# --- composition and inverse -----------------------------------------------------------------


def compose_angles(
    a1: Tensor, b1: Tensor, c1: Tensor, a2: Tensor, b2: Tensor, c2: Tensor
) -> Angles:
    """Angles of R(a1, b1, c1) R(a2, b2, c2): the second rotation is applied first."""
    return matrix_to_angles(angles_to_matrix(a1, b1, c1) @ angles_to_matrix(a2, b2, c2))


def inverse_angles(a: Tensor, b: Tensor, c: Tensor) -> Angles:
    """Angles (−c, −b, −a) of the inverse rotation.

    >>> a, b, c = rand_angles(4)
    >>> R = angles_to_matrix(*inverse_angles(a, b, c)) @ angles_to_matrix(a, b, c)
    >>> torch.allclose(R, torch.eye(3), atol=1e-5)
    True
    """
    return -c, -b, -a


def compose_quaternion(q1: Tensor, q2: Tensor) -> Tensor:
    """Hamilton product q1 q2, [..., 4]: the rotation q2 is applied first."""
    w1, v1 = q1[..., :1], q1[..., 1:]
    w2, v2 = q2[..., :1], q2[..., 1:]
    v1, v2 = torch.broadcast_tensors(v1, v2)
    w = w1 * w2 - (v1 * v2).sum(-1, keepdim=True)
    return torch.cat([w, w1 * v2 + w2 * v1 + torch.linalg.cross(v1, v2)], dim=-1)


def inverse_quaternion(q: Tensor) -> Tensor:
    """Inverse (w, −x, −y, −z) of unit quaternions, [..., 4]."""
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def compose_axis_angle(
    axis1: Tensor, angle1: Tensor, axis2: Tensor, angle2: Tensor
) -> tuple[Tensor, Tensor]:
    """Axis [..., 3] and angle [...] of two rotations, the second applied first."""
    q1, q2 = axis_angle_to_quaternion(axis1, angle1), axis_angle_to_quaternion(axis2, angle2)
    return quaternion_to_axis_angle(compose_quaternion(q1, q2))


# --- to matrices -----------------------------------------------------------------------------


def matrix_x(angle: Tensor) -> Tensor:
    """Rotations about the axis X, [..., 3, 3]."""
    c, s, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    return _matrix(one, zero, zero, zero, c, -s, zero, s, c)


def matrix_y(angle: Tensor) -> Tensor:
    """Rotations about the axis Y, [..., 3, 3]."""
    c, s, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    return _matrix(c, zero, s, zero, one, zero, -s, zero, c)


def matrix_z(angle: Tensor) -> Tensor:
    """Rotations about the axis Z, [..., 3, 3]."""
    c, s, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    return _matrix(c, -s, zero, s, c, zero, zero, zero, one)


def angles_to_matrix(alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """Matrices Ry(α) Rx(β) Ry(γ), [..., 3, 3].

    >>> zero, right = torch.tensor(0.0), torch.tensor(math.pi / 2)
    >>> R = angles_to_matrix(right, zero, zero)
    >>> (R @ torch.tensor([0.0, 0.0, 1.0])).round().int().tolist()
    [1, 0, 0]
    """
    return matrix_y(alpha) @ matrix_x(beta) @ matrix_y(gamma)


def quaternion_to_matrix(q: Tensor) -> Tensor:
    """Matrices [..., 3, 3] of unit quaternions [..., 4]: 1 + 2w[v]× + 2[v]×²."""
    w, v = q[..., 0, None, None], _cross_matrix(q[..., 1:])
    return torch.eye(3, dtype=q.dtype, device=q.device) + 2 * (w * v + v @ v)


def axis_angle_to_matrix(axis: Tensor, angle: Tensor) -> Tensor:
    """Matrices [..., 3, 3] of rotations about axes [..., 3] (of any length) by angles [...]."""
    return quaternion_to_matrix(axis_angle_to_quaternion(axis, angle))


# --- to angles -------------------------------------------------------------------------------


def matrix_to_angles(R: Tensor) -> Angles:
    """Angles (α, β, γ) of rotation matrices [..., 3, 3].

    The second column, R y = (sin β sin α, cos β, sin β cos α), gives α and β; what then remains,
    R(α, β, 0)⁻¹ R = Ry(γ), gives γ. So α = 0 where β = 0 or π leaves it undetermined.

    Raises:
        ValueError: if a matrix has a determinant other than 1.
    """
    _require_rotations(R)
    alpha, beta = xyz_to_angles(R[..., :, 1])
    rest = angles_to_matrix(alpha, beta, torch.zeros_like(alpha)).mT @ R
    return alpha, beta, torch.atan2(rest[..., 0, 2], rest[..., 0, 0])


def quaternion_to_angles(q: Tensor) -> Angles:
    """Angles (α, β, γ) of unit quaternions [..., 4]."""
    return matrix_to_angles(quaternion_to_matrix(q))


def axis_angle_to_angles(axis: Tensor, angle: Tensor) -> Angles:
    """Angles (α, β, γ) of rotations about axes [..., 3] by angles [...]."""
    return matrix_to_angles(axis_angle_to_matrix(axis, angle))


# --- to quaternions --------------------------------------------------------------------------


def axis_angle_to_quaternion(xyz: Tensor, angle: Tensor) -> Tensor:
    """Quaternions (cos θ/2, n sin θ/2), [..., 4], of axes [..., 3] (any length), angles [...]."""
    n = torch.nn.functional.normalize(xyz, dim=-1)
    half = angle[..., None] / 2
    n, half = torch.broadcast_tensors(n, half)
    return torch.cat([half[..., :1].cos(), n * half.sin()], dim=-1)


def angles_to_quaternion(alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """Unit quaternions [..., 4] of Ry(α) Rx(β) Ry(γ), smooth in the angles."""
    x, y = torch.eye(3, dtype=alpha.dtype, device=alpha.device)[:2]
    first, second, third = (
        axis_angle_to_quaternion(axis, angle) for axis, angle in ((y, gamma), (x, beta), (y, alpha))
    )
    return compose_quaternion(third, compose_quaternion(second, first))


def matrix_to_quaternion(R: Tensor) -> Tensor:
    """Unit quaternions [..., 4], w ≥ 0, of rotation matrices [..., 3, 3].

    4 q qᵀ is linear in R. Its row of largest diagonal entry, normalised, is ±q: well conditioned
    for every rotation, half turns included (Shepperd, J. Guidance Control 1, 223, 1978).

    Raises:
        ValueError: if a matrix has a determinant other than 1.
    """
    _require_rotations(R)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = R.flatten(-2).unbind(-1)
    w, x, y, z = 1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz
    wx, wy, wz = zy - yz, xz - zx, yx - xy
    sxy, sxz, syz = xy + yx, xz + zx, yz + zy
    rows = [(w, wx, wy, wz), (wx, x, sxy, sxz), (wy, sxy, y, syz), (wz, sxz, syz, z)]
    outer = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = torch.stack([w, x, y, z], dim=-1).argmax(dim=-1)[..., None, None]
    row = torch.take_along_dim(outer, largest, dim=-2)[..., 0, :]
    return _with_positive_w(torch.nn.functional.normalize(row, dim=-1))


# --- to axis and angle -----------------------------------------------------------------------


def quaternion_to_axis_angle(q: Tensor) -> tuple[Tensor, Tensor]:
    """Unit axes [..., 3] and angles [...] in [0, 2π] of unit quaternions [..., 4].

    The axis of the identity is undetermined; it comes out as zero.
    """
    v = q[..., 1:]
    return torch.nn.functional.normalize(v, dim=-1), 2 * torch.atan2(v.norm(dim=-1), q[..., 0])


def matrix_to_axis_angle(R: Tensor) -> tuple[Tensor, Tensor]:
    """Unit axes [..., 3] and angles [...] in [0, π] of rotation matrices [..., 3, 3].

    Raises:
        ValueError: if a matrix has a determinant other than 1.
    """
    return quaternion_to_axis_angle(matrix_to_quaternion(R))


def angles_to_axis_angle(alpha: Tensor, beta: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Unit axes [..., 3] and angles [...] in [0, π] of Ry(α) Rx(β) Ry(γ)."""
    return quaternion_to_axis_angle(_with_positive_w(angles_to_quaternion(alpha, beta, gamma)))


# --- points of the sphere --------------------------------------------------------------------


def angles_to_xyz(alpha: Tensor, beta: Tensor) -> Tensor:
    """Points R(α, β, 0) y = (sin β sin α, cos β, sin β cos α) of the unit sphere, [..., 3].

    >>> angles_to_xyz(torch.tensor(1.7), torch.tensor(0.0)).int().tolist()
    [0, 1, 0]
    """
    alpha, beta = torch.broadcast_tensors(alpha, beta)
    sin = beta.sin()
    return torch.stack([sin * alpha.sin(), beta.cos(), sin * alpha.cos()], dim=-1)


def xyz_to_angles(xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Angles (α, β), each [...], of the directions of vectors [..., 3]; inverts `angles_to_xyz`."""
    x, y, z = xyz.unbind(-1)
    return torch.atan2(x, z), torch.atan2(torch.hypot(x, z), y)


def _matrix(*entries: Tensor) -> Tensor:
    """Matrices [..., 3, 3] from nine entries [...] in the order of reading."""
    return torch.stack(torch.broadcast_tensors(*entries), dim=-1).unflatten(-1, (3, 3))


def _cross_matrix(v: Tensor) -> Tensor:
    """[v]×, so that [v]× u = v × u."""
    (x, y, z), zero = v.unbind(-1), torch.zeros_like(v[..., 0])
    return _matrix(zero, -z, y, z, zero, -x, -y, x, zero)


def _with_positive_w(q: Tensor) -> Tensor:
    return torch.where(q[..., :1] < 0, -q, q)


def _require_rotations(R: Tensor) -> None:
    if R.shape[-2:] != (3, 3):
        raise ValueError(f"expected rotation matrices of shape [..., 3, 3], got {list(R.shape)}")
    if torch.compiler.is_compiling():  # a compiled graph cannot branch on values
        return
    det = torch.linalg.det(R.detach())
    if not torch.all((det - 1).abs() < 1e-3):
        worst = det.flatten()[(det - 1).abs().argmax()]
        raise ValueError(
            f"expected rotation matrices (determinant 1), got a determinant of {worst:.6g}; "
            "for reflections and inversions use D_from_matrix, or split off the sign first"
        )
