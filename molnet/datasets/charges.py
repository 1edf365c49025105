"""Total charges of the structures of a data set, and whether partial charges add up to them."""

from collections.abc import Iterable

import numpy as np

from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.manifest import origin_of
from molnet.datasets.store import ArrayStore

CHUNK = 8192  # structures held in memory at a time


def count_charges(part: GraphDataset) -> dict[int, int]:
    """How many structures have each total charge, in ascending order of the charge."""
    if part.store.charge is None:
        return {0: len(part)}
    charges, counts = np.unique(part.store.charge[part.indices], return_counts=True)
    return dict(zip(charges.tolist(), counts.tolist(), strict=True))


def count_odd(part: GraphDataset) -> int:
    """How many structures have an odd number of electrons."""
    odd = 0
    for start in range(0, len(part), CHUNK):
        chosen = part.indices[start : start + CHUNK]
        rows, counts = rows_of(part.store.offsets, chosen)
        numbers = part.store.species[rows].astype(np.int64)
        electrons = np.add.reduceat(numbers, np.cumsum(counts) - counts)
        if part.store.charge is not None:
            electrons -= part.store.charge[chosen]
        odd += int((electrons % 2).sum())
    return odd


def check_sums(store: ArrayStore, names: Iterable[str]) -> None:
    """Compares the sum of the partial charges with the total charge of each structure.

    Published partial charges are rounded or integrated on grids, so their sums are slightly off. A
    wrong total charge is off by a whole electron. Accepted are differences of 0.1 e plus 0.0005 e
    for each atom, at most half an electron.

    Structures in which an atom has no label are passed over.

    Args:
        store: the data set.
        names: labels of atoms whose predictions add up to the total charge.

    Raises:
        ValueError: a sum differs; the message has file and frame, both numbers and what to do.
    """
    for name in names:
        for start in range(0, len(store), CHUNK):
            chosen = np.arange(start, min(start + CHUNK, len(store)))
            rows, counts = rows_of(store.offsets, chosen)
            sums = np.add.reduceat(store.labels[name][rows], np.cumsum(counts) - counts)
            totals = np.zeros(len(chosen)) if store.charge is None else store.charge[chosen]
            off = np.abs(sums - totals) > np.minimum(0.1 + 5e-4 * counts, 0.5)
            if off.any():
                worst = int(np.flatnonzero(off)[0])
                raise ValueError(_contradiction(store, name, start + worst, sums[worst]))


def _contradiction(store: ArrayStore, name: str, index: int, total: float) -> str:
    stated = 0 if store.charge is None else int(store.charge[index])
    place = origin_of(store.manifest, index, store.path)
    return (
        f"{place}: the labels {name!r} add up to {total:.4g} e, but the total charge of the "
        f"structure is {stated:+d} e (0 unless the file states it). State the total charge of each "
        "ion: atoms.info['charge'], in extended XYZ charge=1 in the comment line. For values that "
        "need not add up to it, declare another property: kind: tensor, irreps: 0e, per: atom."
    )
