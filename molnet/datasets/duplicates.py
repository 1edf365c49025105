"""Structures that occur in two parts of a data set, so that errors look too small."""

import numpy as np

from molnet.datasets.dataset import rows_of
from molnet.datasets.store import ArrayStore

DIGITS = 4  # of positions in Å that are compared: files are printed with different precision
CHUNK = 8192  # structures held in memory at a time


def count_shared(store: ArrayStore, part: np.ndarray, known: np.ndarray) -> int:
    """How many structures of ``part`` have the atoms, positions and cell of one of ``known``.

    Hashes of 64 bits are compared: of a million structures two that differ have the same one with
    a probability of 3e-8.

    Args:
        store: the data set.
        part: [n] structures.
        known: [m] structures to compare with.
    """
    return int(np.isin(_hashes(store, part), _hashes(store, known)).sum())


def _hashes(store: ArrayStore, chosen: np.ndarray) -> np.ndarray:
    """A number for each structure [n]."""
    hashes = np.empty(len(chosen), dtype=np.uint64)
    for start in range(0, len(chosen), CHUNK):
        structures = chosen[start : start + CHUNK]
        rows, counts = rows_of(store.offsets, structures)
        first = np.cumsum(counts) - counts  # atom of each structure
        atoms = _mixed((np.arange(len(rows)) - np.repeat(first, counts)).astype(np.uint64))
        atoms = _mixed(atoms ^ store.species[rows])
        for column in _whole(store.positions[rows]).T:
            atoms = _mixed(atoms ^ column)
        found = np.add.reduceat(atoms, first)  # the place of each atom is in its own number
        if store.cells is not None:
            for column in _whole(store.cells[structures].reshape(-1, 9)).T:
                found = _mixed(found ^ column)
        hashes[start : start + CHUNK] = found
    return hashes


def _whole(lengths: np.ndarray) -> np.ndarray:
    """Lengths in Å as whole numbers of the last digit that is compared."""
    return np.rint(lengths * 10**DIGITS).astype(np.int64).view(np.uint64)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Each bit depends on all bits: the step of the random number generator SplitMix64."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
