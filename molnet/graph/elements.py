"""Chemical symbols, atomic numbers and masses, from ASE's tables."""

from ase.data import atomic_masses, atomic_numbers, chemical_symbols

SYMBOLS: tuple[str, ...] = tuple(chemical_symbols)
"""Symbol of each atomic number, ``SYMBOLS[6] == "C"``."""

ATOMIC_NUMBERS: dict[str, int] = dict(atomic_numbers)
"""Atomic number of each symbol, ``ATOMIC_NUMBERS["C"] == 6``."""

MASSES: tuple[float, ...] = tuple(float(mass) for mass in atomic_masses)
"""Standard atomic mass (amu) of each atomic number."""
