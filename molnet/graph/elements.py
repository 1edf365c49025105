"""Chemical symbols, atomic numbers, masses and radii, from ASE's tables."""

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

SYMBOLS: tuple[str, ...] = tuple(chemical_symbols)
"""Symbol of each atomic number, ``SYMBOLS[6] == "C"``."""

ATOMIC_NUMBERS: dict[str, int] = dict(atomic_numbers)
"""Atomic number of each symbol, ``ATOMIC_NUMBERS["C"] == 6``."""

MASSES: tuple[float, ...] = tuple(float(mass) for mass in atomic_masses)
"""Standard atomic mass (amu) of each atomic number."""

COVALENT_RADII: NDArray[np.float64] = covalent_radii
"""Covalent radius (Å) of each atomic number (Cordero et al., Dalton Trans. 2008, 2832)."""

NOBLE_GASES: tuple[int, ...] = (2, 10, 18, 36, 54, 86)
"""Atomic numbers of elements that mostly do not bond."""


def group_of(number: int) -> int | None:
    """The group of the periodic table, 1 to 18; None for lanthanides and actinides.

    >>> [group_of(ATOMIC_NUMBERS[symbol]) for symbol in ("H", "He", "S", "Fe", "Br", "Ce", "Au")]
    [1, 18, 16, 8, 17, None, 11]
    """
    ends = (0, *NOBLE_GASES, 118)
    period = next(index for index, end in enumerate(ends) if number <= end)
    place, length = number - ends[period - 1], ends[period] - ends[period - 1]
    if place <= 2 < length or number == 1:
        return place
    group = place + 18 - length
    return group if group > 2 else None
