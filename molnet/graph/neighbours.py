"""All pairs of atoms within the cutoff, periodic images included.

An edge runs from a sender j to a receiver i and carries an integer shift S, so that

    r_ij = r_j − r_i + S · cell,      |r_ij| < cutoff.

In a non-periodic direction S = 0, and the cell vector is ignored.
"""

from typing import NamedTuple

import numpy as np
import vesin
from numpy.typing import ArrayLike, NDArray

COINCIDENT = 1e-3
"""Atoms closer than this, in Å, are at the same place, which is an error."""

FAR = 40
"""Extent of a structure, in cutoffs, above which empty space is removed before the search."""


MOST_NEIGHBOURS = 20_000
"""More neighbours per atom mean a wrong cell: thirty times those in a metal within 12 Å."""


class StructureError(ValueError):
    """A structure that cannot become a graph.

    Attributes:
        index: the place of the structure in its batch; 0 for a single structure.
    """

    def __init__(self, message: str, index: int = 0) -> None:
        super().__init__(message)
        self.index = index


class Neighbours(NamedTuple):
    """Directed edges in one order, by receiver, sender and shift.

    So sums over edges have the same last digits however the edges were found.
    """

    senders: NDArray[np.int64]  # [E]
    receivers: NDArray[np.int64]  # [E]
    shifts: NDArray[np.int64]  # [E, 3]


def find_neighbours(
    positions: ArrayLike, cell: ArrayLike, pbc: ArrayLike, cutoff: float
) -> Neighbours:
    """All pairs of atoms within the cutoff, each in both directions.

    A periodic structure may be smaller than the cutoff: an atom is then a neighbour of its own
    images, and a pair may have many edges with different shifts. Positions may lie outside the
    cell, which may be skewed or left-handed.

    Args:
        positions: [N, 3], in Å.
        cell: [3, 3], in Å; rows are the vectors. Those of non-periodic directions are ignored.
        pbc: [3], whether each direction is periodic.
        cutoff: in Å.

    Raises:
        StructureError: for positions or cells that are not finite, for a periodic direction
            without a cell vector of its own, for a cell so small that an atom would have more than
            :data:`MOST_NEIGHBOURS`, and for two atoms at the same place.
    """
    positions = np.asarray(positions, dtype=np.float64)
    pbc = np.asarray(pbc, dtype=bool)
    cell = np.where(pbc[:, None], np.asarray(cell, dtype=np.float64), 0.0)
    check_cutoff(cutoff)
    _check_positions(positions)
    _check_cell(cell, pbc)
    _check_density(len(positions), cell[pbc], cutoff)

    search = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    if np.ptp(positions, axis=0).max(initial=0.0) > FAR * cutoff:
        positions = _without_gaps(positions, cell[pbc], cutoff)
    receivers, senders, shifts, distances = search.compute(positions, cell, pbc, "ijSd")
    if len(distances) and distances.min() < COINCIDENT:
        closest = distances.argmin()
        raise coincidence(int(receivers[closest]), int(senders[closest]), distances[closest])
    order = np.lexsort((*shifts.T, senders, receivers))
    receivers, senders, shifts = receivers[order], senders[order], shifts[order]
    return Neighbours(senders.astype(np.int64), receivers.astype(np.int64), shifts.astype(np.int64))


def check_cutoff(cutoff: float) -> None:
    """Raises a ValueError unless the cutoff is positive and finite."""
    if not 0.0 < cutoff < np.inf:
        raise ValueError(f"expected a positive cutoff in Å, received {cutoff}")


def coincidence(first: int, second: int, distance: float, index: int = 0) -> StructureError:
    """The error to raise for two atoms, or an atom and its image, at the same place."""
    if first == second:
        return StructureError(
            f"atom {first} (counted from 0) is {distance:.2g} Å from its own periodic image. "
            "Correct the cell.",
            index,
        )
    low, high = sorted((first, second))
    return StructureError(
        f"atoms {low} and {high} (counted from 0) are at the same place: {distance:.2g} Å apart, "
        f"less than {COINCIDENT} Å. Remove one of them, or leave out this structure.",
        index,
    )


def _without_gaps(
    positions: NDArray[np.float64], periodic: NDArray[np.float64], cutoff: float
) -> NDArray[np.float64]:
    """The same structure with wide gaps narrowed in the non-periodic directions.

    Pairs within the cutoff have no such gap between their atoms, so their distances stay. Without
    this, an evaporated molecule makes the grid of the search so long and thin that vesin (0.6.2)
    divides by zero and ends the process.
    """
    axes = np.linalg.svd(np.vstack([periodic, np.zeros((3 - len(periodic), 3))]))[2]
    for axis in axes[len(periodic) :]:
        heights = positions @ axis
        order = heights.argsort()
        gaps = np.diff(heights[order], prepend=heights[order[:1]])
        excess = np.empty_like(heights)
        excess[order] = np.maximum(gaps - 2 * cutoff, 0.0).cumsum()
        positions = positions - excess[:, None] * axis
    return positions


def _check_positions(positions: NDArray[np.float64]) -> None:
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        atom = int(np.flatnonzero(~finite)[0])
        x, y, z = positions[atom]
        raise StructureError(
            f"the position of atom {atom} (counted from 0) is not finite: ({x}, {y}, {z}) Å. "
            "Correct or leave out this structure."
        )


def _check_cell(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> None:
    """Periodic directions need linearly independent, finite vectors."""
    if not pbc.any():
        return
    if not np.isfinite(cell).all():
        raise StructureError(f"the cell is not finite: {cell.tolist()} Å. Correct it.")
    lengths = np.linalg.norm(cell, axis=1)
    for direction in np.flatnonzero(pbc):
        if lengths[direction] < COINCIDENT:
            raise StructureError(
                f"the structure is periodic in direction {direction} (pbc = {pbc.tolist()}), but "
                f"that cell vector is zero: {cell[direction].tolist()} Å. Give the cell vector, or "
                "switch off pbc in this direction; a molecule needs neither."
            )
    directions = cell[pbc] / lengths[pbc, None]
    if np.linalg.matrix_rank(directions, tol=1e-6) < len(directions):
        raise StructureError(
            f"the cell vectors of the periodic directions are not independent: "
            f"{cell[pbc].tolist()} Å. Correct the cell, or switch off pbc where it does not apply."
        )


def _check_density(atoms: int, periodic: NDArray[np.float64], cutoff: float) -> None:
    """A cell of 0.01 Å would make a graph larger than any memory."""
    if len(periodic) == 0:
        return
    volume = float(np.sqrt(np.linalg.det(periodic @ periodic.T)))  # or area, or length
    sphere = (2, np.pi, 4 / 3 * np.pi)[len(periodic) - 1] * cutoff ** len(periodic)
    if atoms * sphere > MOST_NEIGHBOURS * volume:
        raise StructureError(
            f"{atoms} atoms in the cell {periodic.tolist()} Å would have about "
            f"{atoms * sphere / volume:.1g} neighbours each within {cutoff} Å. Correct the cell, "
            "or leave it out if this is a molecule."
        )
