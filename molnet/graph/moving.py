"""The graph of a structure whose atoms move, with a Verlet list of neighbours.

Pairs within cutoff + skin are candidates. As long as no atom has moved by more than half the skin
since the search, no other pair can be within the cutoff. The candidates within the cutoff are then
all edges (Verlet, Phys. Rev. 159, 98 (1967)).
"""

import copy

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch_geometric.data import Batch

from molnet.graph.batch import collate
from molnet.graph.geometry import exact_dtype
from molnet.graph.neighbours import (
    COINCIDENT,
    StructureError,
    check_cutoff,
    coincidence,
)
from molnet.graph.neighbours_of_many import find_neighbours_of_many

DEFAULT_SKIN = 0.5
"""Å. Thermal vibrations of bonded atoms seldom leave half of it."""


class MovingGraph:
    """Radius graphs of one structure, step after step.

    Each graph has the edges that :func:`molnet.graph.from_atoms` finds, so results do not depend on
    the skin or on earlier steps. A wrapped atom, another cell or another structure starts a new
    search.

    >>> graph = MovingGraph(cutoff=5.0)
    >>> numbers, positions = [8, 1, 1], np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    >>> graph(numbers, positions).edge_index.shape, graph(numbers, positions + 0.1).num_nodes
    (torch.Size([2, 6]), 3)
    >>> graph.searches
    1

    Args:
        cutoff: in Å.
        skin: in Å. A larger skin needs fewer searches and has more candidates; with 0 every call
            searches.
        device: of the graphs.

    Attributes:
        searches: how many times neighbours have been searched.
    """

    def __init__(
        self,
        cutoff: float,
        skin: float = DEFAULT_SKIN,
        device: torch.device | str = "cpu",
    ) -> None:
        check_cutoff(cutoff)
        if not 0.0 <= skin < np.inf:
            raise ValueError(f"expected a skin of 0 Å or more, received {skin}")
        self.cutoff = cutoff
        self.skin = skin
        self.device = torch.device(device)
        self.searches = 0
        self._fixed: Batch | None = None  # all but positions and edges; None before a search

    def __call__(
        self,
        species: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike | None = None,
        pbc: ArrayLike = (False, False, False),
        charge: float = 0.0,
    ) -> Batch:
        """The graph of the structure as it is now; earlier graphs stay as they are.

        Args:
            species: [N], atomic numbers.
            positions: [N, 3], in Å.
            cell: [3, 3], in Å; rows are the vectors. Needed in periodic directions.
            pbc: [3], whether each direction is periodic.
            charge: of the structure, in e.

        Returns:
            A batch of one structure, with positions in float64 (float32 on devices that lack it).

        Raises:
            StructureError: for the faults that :func:`molnet.graph.find_neighbours` names, and for
                a structure without atoms.
        """
        numbers = np.asarray(species)
        places = np.asarray(positions, dtype=np.float64)
        vectors = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)
        periodic = np.asarray(pbc, dtype=bool)
        if places.shape != (len(numbers), 3):
            raise ValueError(
                f"expected positions of shape {(len(numbers), 3)} for {len(numbers)} species, "
                f"received {places.shape}"
            )
        if self._fixed is None or self._outdated(numbers, places, vectors, periodic):
            self._fixed = self._search(numbers, places, vectors, periodic)
        graph = copy.copy(self._fixed)
        graph.pos = self._tensor(places.copy())
        graph.charge = self._tensor(np.array([charge], dtype=np.float64))
        edges = self._within_cutoff(places)
        graph.edge_index = torch.from_numpy(self._edges[:, edges]).to(self.device)
        if self._shifts is not None:
            graph.shifts = self._tensor(self._shifts[edges])
        return graph

    def _outdated(
        self,
        species: NDArray[np.integer],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> bool:
        # Comparing bytes takes a tenth of the time of comparing arrays.
        pairs = ((species, self._species), (cell, self._cell), (pbc, self._pbc))
        if any(now.tobytes() != then.tobytes() for now, then in pairs):
            return True
        moved = positions - self._positions
        moved *= moved
        # Written so that a position that is not a number counts as moved: the search names it.
        return not moved.sum(axis=1).max() < (self.skin / 2) ** 2

    def _search(
        self,
        species: NDArray[np.integer],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> Batch:
        """Finds the candidates; returns the graph with no edges."""
        self._fixed = None  # also in case of an error
        if len(species) == 0:
            raise StructureError("the structure has no atoms. Leave it out.")
        counts = np.array([len(species)])
        edges = find_neighbours_of_many(
            positions, counts, cell[None], pbc[None], self.cutoff + self.skin
        )
        self.searches += 1
        self._species, self._positions = species.copy(), positions.copy()
        self._cell, self._pbc = cell.copy(), pbc.copy()
        self._edges = np.stack([edges.senders, edges.receivers])
        self._shifts = edges.shifts.astype(np.float64) if pbc.any() else None
        self._offsets = None if self._shifts is None else self._shifts @ cell
        return collate(
            species=species,
            pos=positions,
            counts=counts,
            cell=cell[None],
            pbc=pbc[None],
            senders=edges.senders[:0],
            receivers=edges.receivers[:0],
            edge_counts=np.array([0]),
            shifts=edges.shifts[:0],
            dtype=exact_dtype(self.device),
        ).to(self.device)

    def _within_cutoff(self, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which of the candidates are edges now."""
        # In NumPy: on small molecules an operation of PyTorch costs several times more.
        senders, receivers = self._edges
        vectors = positions[senders]
        vectors -= positions[receivers]
        if self._offsets is not None:
            vectors += self._offsets
        squared = np.einsum("ex,ex->e", vectors, vectors)
        if len(squared) and squared.min() < COINCIDENT**2:
            closest = squared.argmin()
            distance = float(np.sqrt(squared[closest]))
            raise coincidence(int(receivers[closest]), int(senders[closest]), distance)
        return np.flatnonzero(squared < self.cutoff**2)

    def _tensor(self, array: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device, exact_dtype(self.device))
