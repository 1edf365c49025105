"""Neighbours of many structures at once: small molecules are compared pair by pair, in blocks.

For a few dozen atoms, comparing all pairs of a block of molecules in one array operation is faster
than one search for each molecule. Periodic and large structures are searched one by one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molnet.graph.neighbours import (
    COINCIDENT,
    Neighbours,
    StructureError,
    check_cutoff,
    coincidence,
    find_neighbours,
)

LARGEST_COMPARED = 100  # atoms; beyond, comparing all pairs costs more than a search
BLOCK = 1 << 16  # pairs compared at once: few enough to stay in the processor's cache


class NeighboursOfMany(NamedTuple):
    """Directed edges, structure by structure, in ascending order of receiver within each."""

    senders: NDArray[np.int64]  # [E], counted within each structure
    receivers: NDArray[np.int64]  # [E], likewise
    shifts: NDArray[np.int64]  # [E, 3]
    counts: NDArray[np.int64]  # [G], edges of each structure


def find_neighbours_of_many(
    positions: NDArray[np.float64],
    counts: NDArray[np.integer],
    cells: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    cutoff: float,
) -> NeighboursOfMany:
    """All pairs of atoms within the cutoff in each of G structures with N atoms in all.

    The edges are those of :func:`find_neighbours`, in the same order.

    Args:
        positions: [N, 3], in Å, one structure after the other.
        counts: [G], atoms in each structure, at least one.
        cells: [G, 3, 3], in Å; rows are the vectors. Those of non-periodic directions are ignored.
        pbc: [G, 3], whether each direction is periodic.
        cutoff: in Å.

    Raises:
        StructureError: for the faults that :func:`find_neighbours` names; ``index`` is the place
            of the structure among the G.
    """
    check_cutoff(cutoff)
    first = np.cumsum(counts) - counts  # atom of each structure
    compared = (counts <= LARGEST_COMPARED) & ~pbc.any(axis=1)
    # A position that is not finite is left to the other search, which names the atom.
    compared &= np.logical_and.reduceat(np.isfinite(positions).all(axis=1), first)

    order: list[NDArray[np.int64]] = []  # structures in the order of the search
    found: list[Neighbours] = []
    edge_counts = np.zeros(len(counts), dtype=np.int64)
    one_by_one = np.flatnonzero(~compared)[:, None]
    for block in (*_blocks(np.flatnonzero(compared), counts), *one_by_one):
        try:
            if compared[block[0]]:
                edges, edge_counts[block] = _compare(positions, first[block], counts[block], cutoff)
            else:
                (index,) = block
                atoms = slice(first[index], first[index] + counts[index])
                edges = find_neighbours(positions[atoms], cells[index], pbc[index], cutoff)
                edge_counts[index] = len(edges.senders)
        except StructureError as error:
            raise StructureError(str(error), int(block[error.index])) from None
        order.append(block)
        found.append(edges)

    rows = _rows(edge_counts, np.concatenate(order))
    senders, receivers, shifts = (np.concatenate(part)[rows] for part in zip(*found, strict=True))
    return NeighboursOfMany(senders, receivers, shifts, edge_counts)


def _blocks(
    molecules: NDArray[np.int64], counts: NDArray[np.integer]
) -> Iterator[NDArray[np.int64]]:
    """Molecules of similar size, with at most BLOCK pairs in all, padding included."""
    by_size = molecules[np.argsort(-counts[molecules], kind="stable")]
    start = 0
    while start < len(by_size):
        largest = int(counts[by_size[start]])
        stop = start + max(1, BLOCK // largest**2)
        yield by_size[start:stop]
        start = stop


def _compare(
    positions: NDArray[np.float64],
    first: NDArray[np.integer],
    counts: NDArray[np.integer],
    cutoff: float,
) -> tuple[Neighbours, NDArray[np.int64]]:
    """All pairs within the cutoff in each of M molecules, and their number in each molecule."""
    slots = np.arange(counts.max())  # room for the atoms of the largest, n
    filled = slots < counts[:, None]
    padded = np.full((*filled.shape, 3), np.nan)  # NaN is within no cutoff
    padded[filled] = positions[(first[:, None] + slots)[filled]]

    squared = np.zeros((len(counts), len(slots), len(slots)))  # [M, receiver, sender]
    for axis in range(3):
        difference = padded[:, :, None, axis] - padded[:, None, :, axis]
        difference *= difference
        squared += difference
    squared[:, slots, slots] = np.nan  # no atom is its own neighbour
    coincident = squared < COINCIDENT**2
    if coincident.any():
        molecule, receiver, sender = np.argwhere(coincident)[0].tolist()
        distance = float(np.sqrt(squared[molecule, receiver, sender]))
        raise coincidence(receiver, sender, distance, molecule)

    within = squared < cutoff**2
    per_receiver = np.count_nonzero(within, axis=2)
    receivers = np.repeat(np.tile(slots, len(counts)), per_receiver.ravel())
    senders = np.flatnonzero(within) % len(slots)
    shifts = np.zeros((len(senders), 3), dtype=np.int64)
    return Neighbours(senders, receivers, shifts), per_receiver.sum(axis=1)


def _rows(counts: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that sort the edges by structure; ``order`` is the order of the search."""
    start = np.empty_like(counts)  # row of the first edge that was found for each structure
    start[order] = np.cumsum(counts[order]) - counts[order]
    return np.arange(counts.sum()) + np.repeat(start - (np.cumsum(counts) - counts), counts)
