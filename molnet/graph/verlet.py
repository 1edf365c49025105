"""Graphs of structures whose atoms and cells move, with a Verlet list of neighbours.

Pairs within cutoff + skin are candidates; those within the cutoff are all edges, as long as no
other pair can have come closer (Verlet, Phys. Rev. 159, 98 (1967)). Let the cell have changed from
C to C F since the search, and let u be the largest distance of an atom at r from r₀ F, where r₀ was
its position at the search. Every other pair was further apart than cutoff + skin, so now it is
further apart than σ (cutoff + skin) − 2 u, where σ is the smallest singular value of F. With an
unchanged cell that exceeds the cutoff until an atom has moved by half the skin.
"""

import copy

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from molnet.graph.batch import collate
from molnet.graph.container import Graph
from molnet.graph.geometry import exact_dtype
from molnet.graph.neighbours import (
    COINCIDENT,
    StructureError,
    check_cutoff,
    coincidence,
)
from molnet.graph.neighbours_of_many import NeighboursOfMany, find_neighbours_of_many

DEFAULT_SKIN = 0.5
"""Å. Thermal vibrations of bonded atoms seldom leave half of it."""


class MovingGraphs:
    """Radius graphs of G structures with N atoms in all, step after step.

    Each graph has the edges that :func:`molnet.graph.from_atoms` finds, so results do not depend on
    the skin or on earlier steps. A structure is searched again when one of its atoms, or its cell,
    has moved too far; the others keep their candidates.

    >>> graphs = MovingGraphs([8, 1, 1, 1, 1], [3, 2], cutoff=5.0)
    >>> positions = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0.7]])
    >>> graphs(positions).num_edges, graphs(positions + 0.1).num_graphs
    (8, 2)
    >>> graphs.searches
    2

    Args:
        species: [N], atomic numbers, one structure after the other.
        counts: [G], atoms of each structure, at least one.
        pbc: [G, 3], whether each direction is periodic; by default none is.
        charges: [G], total charges in e; by default 0.
        cutoff: in Å.
        skin: in Å. A larger skin needs fewer searches and has more candidates; with 0 every call
            searches.
        device: of the graphs.

    Attributes:
        searches: how many times a structure has been searched for neighbours.

    Raises:
        StructureError: a structure has no atoms.
        ValueError: for a cutoff that is not positive, a negative skin, or arrays that do not fit.
    """

    def __init__(
        self,
        species: ArrayLike,
        counts: ArrayLike,
        pbc: ArrayLike | None = None,
        charges: ArrayLike | None = None,
        *,
        cutoff: float,
        skin: float = DEFAULT_SKIN,
        device: torch.device | str = "cpu",
    ) -> None:
        check_cutoff(cutoff)
        check_skin(skin)
        self.cutoff, self.skin, self.device = cutoff, skin, torch.device(device)
        self.species, self.counts = np.array(species), np.array(counts)
        if not self.counts.all():
            empty = int(np.flatnonzero(self.counts == 0)[0])
            raise StructureError("the structure has no atoms. Leave it out.", empty)
        if self.counts.sum() != len(self.species):
            raise ValueError(f"expected {self.counts.sum()} species, received {len(self.species)}")
        shape = (len(self.counts), 3)
        self.pbc = np.zeros(shape, bool) if pbc is None else np.array(pbc, bool).reshape(shape)
        self.searches = 0
        self._first = np.cumsum(self.counts) - self.counts
        self._positions: NDArray[np.float64] | None = None  # at the last search of each atom
        self._fixed: Graph  # all but positions, cells and edges
        self._charges = charges

    def __call__(self, positions: ArrayLike, cells: ArrayLike | None = None) -> Graph:
        """The graph of the structures as they are now; earlier graphs stay as they are.

        Args:
            positions: [N, 3], in Å.
            cells: [G, 3, 3], in Å; rows are the vectors. Needed in periodic directions.

        Returns:
            A batch of G structures, with positions in float64 (float32 on devices that lack it).

        Raises:
            StructureError: for the faults that :func:`molnet.graph.find_neighbours` names.
        """
        places = np.asarray(positions, dtype=np.float64)
        if places.shape != (len(self.species), 3):
            raise ValueError(
                f"expected positions of shape {(len(self.species), 3)} for {len(self.species)} "
                f"species, received {places.shape}"
            )
        shape = (len(self.counts), 3, 3)
        boxes = np.zeros(shape) if cells is None else np.asarray(cells, np.float64).reshape(shape)
        outdated = self._outdated(places, boxes)
        if outdated.any():
            self._search(np.flatnonzero(outdated), places, boxes)
        graph = copy.copy(self._fixed)
        graph.pos = self._tensor(places.copy())
        edges = self._within_cutoff(places, boxes)
        graph.edge_index = torch.from_numpy(self._edges[:, edges]).to(self.device)
        if self._shifts is not None:
            graph.cell = self._tensor(self._periodic_cells(boxes))
            graph.shifts = self._tensor(self._shifts[edges])
        return graph

    def _outdated(
        self, positions: NDArray[np.float64], cells: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """[G], which structures may have edges that are no candidates."""
        if self._positions is None:
            return np.ones(len(self.counts), dtype=bool)
        reach: float | NDArray[np.float64] = self.skin
        moved = positions - self._positions
        if cells.tobytes() != self._cells.tobytes():  # a tenth of the time of comparing arrays
            strained, squeeze = self._strained(self._positions, cells)
            moved = positions - strained
            reach = squeeze * (self.cutoff + self.skin) - self.cutoff
        moved *= moved
        squared = moved.sum(axis=1)
        largest = squared.max() if len(self.counts) == 1 else self._largest(squared)
        # Written so that a position that is not a number counts as moved: the search names it.
        return np.array(~(largest < np.maximum(reach / 2, 0.0) ** 2)).reshape(-1)

    def _largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.maximum.reduceat(values, self._first))

    def _strained(
        self, searched: NDArray[np.float64], cells: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The searched positions moved along with the cells, and each F's smallest singular value.

        Without three periodic directions F is the identity for an unchanged cell; another cell is
        searched again.
        """
        strain = np.tile(np.eye(3), (len(cells), 1, 1))
        squeeze = np.ones(len(cells))
        for i in np.flatnonzero((cells != self._cells).any(axis=(1, 2))):
            if self.pbc[i].all():
                strain[i] = np.linalg.solve(self._cells[i], cells[i])
                squeeze[i] = np.linalg.svd(strain[i], compute_uv=False)[-1]
            elif self.pbc[i].any():
                squeeze[i] = 0.0
        of_atoms = np.repeat(strain, self.counts, axis=0)
        return np.einsum("nx,nxy->ny", searched, of_atoms), squeeze

    def _search(
        self,
        outdated: NDArray[np.int64],
        positions: NDArray[np.float64],
        cells: NDArray[np.float64],
    ) -> None:
        """Finds the candidates of some structures anew; the others keep theirs."""
        atoms = np.repeat(np.isin(np.arange(len(self.counts)), outdated), self.counts)
        try:
            found = find_neighbours_of_many(
                positions[atoms],
                self.counts[outdated],
                cells[outdated],
                self.pbc[outdated],
                self.cutoff + self.skin,
            )
        except StructureError as error:
            self._positions = None
            error.index = int(outdated[error.index])
            raise
        self.searches += len(outdated)
        if self._positions is None:
            self._positions, self._cells = positions.copy(), cells.copy()
            self._fixed = self._without_edges(positions, cells)
            self._edges = np.zeros((2, 0), dtype=np.int64)
            self._of_structure = np.zeros(0, dtype=np.int64)
            self._shifts = np.zeros((0, 3)) if self.pbc.any() else None
        self._positions[atoms], self._cells[outdated] = positions[atoms], cells[outdated]
        self._merge(found, outdated)

    def _merge(self, found: NeighboursOfMany, outdated: NDArray[np.int64]) -> None:
        of_structure = np.repeat(outdated, found.counts)
        first = self._first[of_structure]
        edges = np.stack([found.senders + first, found.receivers + first])
        shifts = found.shifts.astype(np.float64)
        kept = ~np.isin(self._of_structure, outdated)
        if kept.any():
            of_structure = np.concatenate([self._of_structure[kept], of_structure])
            order = np.argsort(of_structure, kind="stable")
            of_structure = of_structure[order]
            edges = np.concatenate([self._edges[:, kept], edges], axis=1)[:, order]
            if self._shifts is not None:
                shifts = np.concatenate([self._shifts[kept], shifts])[order]
        self._edges, self._of_structure = edges, of_structure
        if self._shifts is not None:
            self._shifts = shifts
            self._offset_cells: NDArray[np.float64] | None = None  # the offsets are not known

    def _without_edges(self, positions: NDArray[np.float64], cells: NDArray[np.float64]) -> Graph:
        none = np.zeros(0, dtype=np.int64)
        return collate(
            species=self.species,
            pos=positions,
            counts=self.counts,
            cell=cells,
            pbc=self.pbc,
            senders=none,
            receivers=none,
            edge_counts=np.zeros(len(self.counts), dtype=np.int64),
            shifts=np.zeros((0, 3), dtype=np.int64),
            charge=None if self._charges is None else np.asarray(self._charges, dtype=np.float64),
            dtype=exact_dtype(self.device),
        ).to(self.device)

    def _periodic_cells(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        periodic = np.asarray(self.pbc.any(axis=1))
        return cells * periodic.reshape(-1, 1, 1)

    def _within_cutoff(
        self, positions: NDArray[np.float64], cells: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Which of the candidates are edges now."""
        # In NumPy: on small molecules an operation of PyTorch costs several times more.
        senders, receivers = self._edges
        vectors = positions[senders]
        vectors -= positions[receivers]
        if self._shifts is not None:
            vectors += self._offsets_in(cells, self._shifts)
        squared = np.einsum("ex,ex->e", vectors, vectors)
        if len(squared) and squared.min() < COINCIDENT**2:
            closest = squared.argmin()
            structure = int(self._of_structure[closest])
            first = int(self._first[structure])
            distance = float(np.sqrt(squared[closest]))
            pair = int(receivers[closest]) - first, int(senders[closest]) - first
            raise coincidence(*pair, distance, structure)
        return np.flatnonzero(squared < self.cutoff**2)

    def _offsets_in(
        self, cells: NDArray[np.float64], shifts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """S · cell of each candidate, computed once for as long as the cells stay."""
        known = self._offset_cells
        if known is None or known.tobytes() != cells.tobytes():
            self._offset_cells = cells.copy()
            if len(cells) == 1:
                self._offsets = shifts @ cells[0]
            else:
                self._offsets = np.einsum("ex,exy->ey", shifts, cells[self._of_structure])
        return self._offsets

    def _tensor(self, array: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device, exact_dtype(self.device))


def check_skin(skin: float) -> None:
    """Raises ValueError for a skin that is negative or not finite."""
    if not 0.0 <= skin < np.inf:
        raise ValueError(f"expected a skin of 0 Å or more, received {skin}")
