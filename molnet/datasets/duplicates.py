"""Structures that occur in two parts of a data set, so that errors look too small."""

import hashlib
from collections.abc import Iterator

import numpy as np

from molnet.datasets.store import ArrayStore

DIGITS = 4  # of positions in Å that are compared: files are printed with different precision


def count_shared(store: ArrayStore, part: np.ndarray, known: np.ndarray) -> int:
    """How many structures of ``part`` have the atoms, positions and cell of one of ``known``.

    Args:
        store: the data set.
        part: [n] structures.
        known: [m] structures to compare with.
    """
    seen = set(_hashes(store, known))
    return sum(found in seen for found in _hashes(store, part))


def _hashes(store: ArrayStore, chosen: np.ndarray) -> Iterator[bytes]:
    for index in chosen.tolist():
        atoms = slice(store.offsets[index], store.offsets[index + 1])
        # Adding zero makes +0 of −0.
        content = store.species[atoms].tobytes()
        content += (store.positions[atoms].round(DIGITS) + 0.0).tobytes()
        if store.cells is not None:
            content += (store.cells[index].round(DIGITS) + 0.0).tobytes()
        yield hashlib.blake2b(content, digest_size=16).digest()
