"""Which irreps of the inputs couple to which irreps of the output, and with which constants.

Data without parameters: an instruction is one path of a :class:`~molnet.o3.Linear` or a
:class:`~molnet.o3.TensorProduct`. Its ``path_weight`` is the constant that keeps outputs at unit
variance for inputs (and weights) of unit variance.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from molnet.o3.irreps import Irreps


class LinearInstruction(NamedTuple):
    """A path of a Linear: ``out[i_out] += path_weight * W^T in[i_in]``, W of ``path_shape``."""

    i_in: int
    i_out: int
    path_shape: tuple[int, int]
    path_weight: float


def linear_instructions(
    irreps_in: Irreps,
    irreps_out: Irreps,
    pairs: Sequence[tuple[int, int]] | None,
    f_in: int | None,
    path_normalization: str,
) -> list[LinearInstruction]:
    """The paths of a Linear, normalised.

    With ``path_normalization="element"`` each path into an output has the constant
    ``(sum of the input multiplicities over all paths into it) ** -1/2``; with ``"path"`` it is
    ``(multiplicity of this path * number of paths into the output) ** -1/2``. ``f_in`` multiplies
    the number of inputs.

    Args:
        pairs: ``(i_in, i_out)`` for each path; by default every pair of equal irreps.
    """
    if path_normalization not in ("element", "path"):
        raise ValueError(
            f'path_normalization must be "element" or "path", got {path_normalization!r}'
        )
    if pairs is None:
        pairs = [
            (i_in, i_out)
            for i_in, (_, ir_in) in enumerate(irreps_in)
            for i_out, (_, ir_out) in enumerate(irreps_out)
            if ir_in == ir_out
        ]
    for i_in, i_out in pairs:
        check_index(i_in, irreps_in, "irreps_in")
        check_index(i_out, irreps_out, "irreps_out")
        if irreps_in[i_in].ir != irreps_out[i_out].ir:
            raise ValueError(
                f"instruction {(i_in, i_out)} connects {irreps_in[i_in]} to {irreps_out[i_out]}: "
                "a linear map commutes with rotations only between equal irreps"
            )

    def fan_in(i_in: int, i_out: int) -> int:
        incoming = [i for i, o in pairs if o == i_out]
        if path_normalization == "element":
            elements = sum(irreps_in[i].mul for i in incoming)
        else:
            elements = irreps_in[i_in].mul * len(incoming)
        return elements if f_in is None else elements * f_in

    return [
        LinearInstruction(
            i_in,
            i_out,
            (irreps_in[i_in].mul, irreps_out[i_out].mul),
            max(fan_in(i_in, i_out), 1) ** -0.5,
        )
        for i_in, i_out in pairs
    ]


def check_index(index: int, irreps: Irreps, name: str) -> None:
    """Raise an IndexError unless ``index`` points at an entry of ``irreps``."""
    if not 0 <= index < len(irreps):
        raise IndexError(
            f"an instruction refers to entry {index} of {name}, "
            f"which has {len(irreps)} entries: {irreps}"
        )


class Instruction(NamedTuple):
    """A path of a TensorProduct: ``out[i_out] += path_weight * (in1[i_in1] x in2[i_in2])``.

    ``connection_mode`` says how the copies u of the first input, v of the second and w of the
    output go together (see :class:`~molnet.o3.TensorProduct`), ``path_shape`` is the shape of the
    weights this takes.
    """

    i_in1: int
    i_in2: int
    i_out: int
    connection_mode: str
    has_weight: bool
    path_weight: float
    path_shape: tuple[int, ...]


def tensor_product_instructions(
    irreps_in1: Irreps,
    irreps_in2: Irreps,
    irreps_out: Irreps,
    instructions: Sequence[tuple[Any, ...]],
    in1_var: Sequence[float] | Tensor | None = None,
    in2_var: Sequence[float] | Tensor | None = None,
    out_var: Sequence[float] | Tensor | None = None,
    irrep_normalization: str = "component",
    path_normalization: str = "element",
) -> list[Instruction]:
    r"""Check the paths of a tensor product and compute their constants.

    The constant of the path p from irreps l1, l2 to l3 is

    .. math:: \alpha_p = \sqrt{ \frac{c \, v_{out} \, \omega_p}{n_p} }

    where :math:`\omega_p` is the given path weight, :math:`v` are variances, and

    - ``irrep_normalization``: c is 2 l3 + 1 (``"component"``: unit variance of each component in
      and out), (2 l1 + 1)(2 l2 + 1) (``"norm"``: unit norms in and out) or 1 (``"none"``);
    - ``path_normalization``: n is the variance :math:`v_1 v_2 N` that the N terms of a path add
      up to, summed over all paths into the same output (``"element"``), that of this path times
      the number of paths into the output (``"path"``), or 1 (``"none"``).

    Args:
        instructions: tuples ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``.
        in1_var, in2_var, out_var: variances of each entry of the irreps; 1 by default.
    """
    for name, value, allowed in (
        ("irrep_normalization", irrep_normalization, ("component", "norm", "none")),
        ("path_normalization", path_normalization, ("element", "path", "none")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    var1 = _variances(in1_var, irreps_in1, "in1_var")
    var2 = _variances(in2_var, irreps_in2, "in2_var")
    var_out = _variances(out_var, irreps_out, "out_var")
    paths = [
        _check_path(Path(*given), irreps_in1, irreps_in2, irreps_out) for given in instructions
    ]

    def variance(path: "Path") -> float:
        terms = _SUMMED_TERMS[path.mode](irreps_in1[path.i_in1].mul, irreps_in2[path.i_in2].mul)
        return var1[path.i_in1] * var2[path.i_in2] * terms

    checked = []
    for path in paths:
        ir1, ir2 = irreps_in1[path.i_in1].ir, irreps_in2[path.i_in2].ir
        ir_out = irreps_out[path.i_out].ir
        siblings = [other for other in paths if other.i_out == path.i_out]
        squared: float = {"component": ir_out.dim, "norm": ir1.dim * ir2.dim, "none": 1}[
            irrep_normalization
        ]
        total = {
            "element": sum(variance(other) for other in siblings),
            "path": variance(path) * len(siblings),
            "none": 1,
        }[path_normalization]
        squared *= var_out[path.i_out] * path.path_weight / (total if total > 0 else 1)
        muls = (
            irreps_in1[path.i_in1].mul,
            irreps_in2[path.i_in2].mul,
            irreps_out[path.i_out].mul,
        )
        checked.append(
            Instruction(
                path.i_in1,
                path.i_in2,
                path.i_out,
                path.mode,
                path.has_weight,
                math.sqrt(squared),
                _PATH_SHAPES[path.mode](*muls),
            )
        )
    return checked


class Path(NamedTuple):
    """A path as users write it, before normalisation."""

    i_in1: int
    i_in2: int
    i_out: int
    mode: str
    has_weight: bool
    path_weight: float = 1.0


def _pairs(u: int) -> int:
    """Number of pairs of different copies."""
    return u * (u - 1) // 2


_PATH_SHAPES: dict[str, Callable[[int, int, int], tuple[int, ...]]] = {
    "uvw": lambda u, v, w: (u, v, w),
    "uvu": lambda u, v, w: (u, v),
    "uvv": lambda u, v, w: (u, v),
    "uuw": lambda u, v, w: (u, w),
    "uuu": lambda u, v, w: (u,),
    "uvuv": lambda u, v, w: (u, v),
    "uvu<v": lambda u, v, w: (_pairs(u),),
    "u<vw": lambda u, v, w: (_pairs(u), w),
}
"""Shape of the weights, from the multiplicities of inputs and output."""

_SUMMED_TERMS: dict[str, Callable[[int, int], int]] = {
    "uvw": lambda u, v: u * v,
    "uvu": lambda u, v: v,
    "uvv": lambda u, v: u,
    "uuw": lambda u, v: u,
    "uuu": lambda u, v: 1,
    "uvuv": lambda u, v: 1,
    "uvu<v": lambda u, v: 1,
    "u<vw": lambda u, v: _pairs(u),
}
"""How many products of copies are added to one copy of the output."""

_MULTIPLICITIES: dict[str, tuple[str, Callable[[int, int, int], bool]]] = {
    "uvw": ("any", lambda u, v, w: True),
    "uvu": ("out = in1", lambda u, v, w: w == u),
    "uvv": ("out = in2", lambda u, v, w: w == v),
    "uuw": ("in1 = in2", lambda u, v, w: u == v),
    "uuu": ("in1 = in2 = out", lambda u, v, w: u == v == w),
    "uvuv": ("out = in1 * in2", lambda u, v, w: w == u * v),
    "uvu<v": ("in1 = in2, out = in1 (in1 - 1) / 2", lambda u, v, w: u == v and w == _pairs(u)),
    "u<vw": ("in1 = in2", lambda u, v, w: u == v),
}
"""The condition on the multiplicities, in words and as a test."""


def _check_path(path: Path, irreps_in1: Irreps, irreps_in2: Irreps, irreps_out: Irreps) -> Path:
    check_index(path.i_in1, irreps_in1, "irreps_in1")
    check_index(path.i_in2, irreps_in2, "irreps_in2")
    check_index(path.i_out, irreps_out, "irreps_out")
    if path.mode not in _PATH_SHAPES:
        raise ValueError(
            f"connection mode must be one of {list(_PATH_SHAPES)}, got {path.mode!r} in {path}"
        )
    in1, in2, out = irreps_in1[path.i_in1], irreps_in2[path.i_in2], irreps_out[path.i_out]
    if out.ir not in in1.ir * in2.ir:
        raise ValueError(
            f"{path}: the product of {in1.ir} and {in2.ir} holds "
            f"{', '.join(map(str, in1.ir * in2.ir))}, not {out.ir}"
        )
    condition, holds = _MULTIPLICITIES[path.mode]
    if not holds(in1.mul, in2.mul, out.mul):
        raise ValueError(
            f"mode {path.mode!r} needs multiplicities {condition}, "
            f"got {in1} x {in2} -> {out} in {path}"
        )
    if not path.has_weight:
        if path.mode in ("uvw", "u<vw"):
            raise ValueError(f"mode {path.mode!r} always has weights: {path}")
        if path.mode == "uuw" and out.mul != 1:
            raise ValueError(f"mode 'uuw' without weights sums to one copy, got {out} in {path}")
    if path.path_weight < 0:
        raise ValueError(f"a path weight is a variance and cannot be negative: {path}")
    return path


def _variances(given: Sequence[float] | Tensor | None, irreps: Irreps, name: str) -> list[float]:
    if given is None:
        return [1.0] * len(irreps)
    if len(given) != len(irreps):
        raise ValueError(
            f"{name} must hold one variance for each of the {len(irreps)} entries of {irreps}, "
            f"got {len(given)}"
        )
    return [float(variance) for variance in given]
