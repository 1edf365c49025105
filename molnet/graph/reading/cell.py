"""Cells that a file gives by three lengths and three angles."""

from collections.abc import Sequence

import numpy as np


def check_cell(parameters: Sequence[object]) -> None:
    """Refuses what are no lengths a, b, c and angles α, β, γ (degrees) of a cell.

    Raises:
        ValueError: with all six values.
    """
    given = " ".join(map(str, parameters))
    try:
        numbers = np.array([float(str(word)) for word in parameters])
    except ValueError as error:
        raise ValueError(f"the cell: expected three lengths and angles, got {given!r}") from error
    lengths, angles = numbers[:3], numbers[3:]
    cosines = np.cos(np.radians(angles))
    squared_volume = 1 - (cosines**2).sum() + 2 * cosines.prod()  # of a cell with unit lengths
    if not ((lengths > 0) & (angles > 0) & (angles < 180)).all() or squared_volume <= 0:
        raise ValueError(
            "the cell: expected lengths above 0 and angles between 0 and 180 degrees that enclose "
            f"a volume, got {given!r}"
        )
