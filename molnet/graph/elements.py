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
