"""The graph of one structure whose atoms move, such as that of a calculator."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from molnet.graph.container import Graph
from molnet.graph.geometry import exact_dtype
from molnet.graph.neighbours import check_cutoff
from molnet.graph.verlet import DEFAULT_SKIN, MovingGraphs, check_skin


class MovingGraph:
    """Radius graphs of one structure, step after step, which may become another structure.

    Each graph has the edges that :func:`molnet.graph.from_atoms` finds. A wrapped atom or another
    structure starts a new search.

    >>> graph = MovingGraph(cutoff=5.0)
    >>> numbers, positions = [8, 1, 1], np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    >>> graph(numbers, positions).edge_index.shape, graph(numbers, positions + 0.1).num_nodes
    (torch.Size([2, 6]), 3)
    >>> graph.searches
    1

    Args:
        cutoff: in Å.
        skin: in Å, see :class:`MovingGraphs`.
        device: of the graphs.

    Attributes:
        graphs: of the present structure; None before the first.
    """

    def __init__(
        self, cutoff: float, skin: float = DEFAULT_SKIN, device: torch.device | str = "cpu"
    ) -> None:
        check_cutoff(cutoff)
        check_skin(skin)
        self.cutoff, self.skin, self.device = cutoff, skin, torch.device(device)
        self.graphs: MovingGraphs | None = None
        self._earlier_searches = 0

    @property
    def searches(self) -> int:
        """How many times neighbours have been searched."""
        return self._earlier_searches + (0 if self.graphs is None else self.graphs.searches)

    def __call__(
        self,
        species: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike | None = None,
        pbc: ArrayLike = (False, False, False),
        charge: float = 0.0,
    ) -> Graph:
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
        numbers, periodic = np.asarray(species), np.asarray(pbc, dtype=bool)
        graphs = self.graphs
        # Comparing bytes takes a tenth of the time of comparing arrays.
        if (
            graphs is None
            or numbers.tobytes() != graphs.species.tobytes()
            or periodic.tobytes() != graphs.pbc.tobytes()
        ):
            self._earlier_searches, self.graphs = self.searches, None
            graphs = MovingGraphs(
                numbers,
                [len(numbers)],
                periodic,
                cutoff=self.cutoff,
                skin=self.skin,
                device=self.device,
            )
            self.graphs = graphs
        graph = graphs(positions, cell)
        graph.charge = torch.tensor([charge], dtype=exact_dtype(self.device), device=self.device)
        return graph
