"""From atomic structures to graphs: neighbours, batches, cells and strain."""

from molnet.graph.batch import collate
from molnet.graph.geometry import edge_vectors, strained, volumes
from molnet.graph.neighbours import Neighbours, StructureError, find_neighbours
from molnet.graph.structure import from_atoms

__all__ = [
    "Neighbours",
    "StructureError",
    "collate",
    "edge_vectors",
    "find_neighbours",
    "from_atoms",
    "strained",
    "volumes",
]
