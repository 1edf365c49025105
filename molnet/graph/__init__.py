"""From atomic structures to graphs: neighbours, batches, cells and stress."""

from molnet.graph.batch import collate
from molnet.graph.charge import stated_spin, total_charge
from molnet.graph.container import Graph
from molnet.graph.geometry import edge_vectors, exact_dtype, virial, volumes
from molnet.graph.images import unwrapped
from molnet.graph.moving import MovingGraph
from molnet.graph.neighbours import Neighbours, StructureError, find_neighbours
from molnet.graph.neighbours_of_many import NeighboursOfMany, find_neighbours_of_many
from molnet.graph.plausibility import drop_placeholder_cell, implausible
from molnet.graph.structure import from_atoms
from molnet.graph.verlet import DEFAULT_SKIN, MovingGraphs

__all__ = [
    "DEFAULT_SKIN",
    "Graph",
    "MovingGraph",
    "MovingGraphs",
    "Neighbours",
    "NeighboursOfMany",
    "StructureError",
    "collate",
    "drop_placeholder_cell",
    "edge_vectors",
    "exact_dtype",
    "find_neighbours",
    "find_neighbours_of_many",
    "from_atoms",
    "implausible",
    "stated_spin",
    "total_charge",
    "unwrapped",
    "virial",
    "volumes",
]
