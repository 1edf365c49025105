"""Which irreps of the inputs couple to which irreps of the output, and with which constants.

Data without parameters: an instruction is one path of a :class:`~molnet.o3.Linear` or a
:class:`~molnet.o3.TensorProduct`. Its ``path_weight`` is the constant that keeps outputs at unit
variance for inputs (and weights) of unit variance.
"""

from collections.abc import Sequence
from typing import NamedTuple

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
