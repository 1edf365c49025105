"""From atomic structures to graphs: neighbours, batches, cells and stress."""

from typing import TYPE_CHECKING

from molnet.lazy import on_first_use

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # else every name would be there
    # Processes that read structure files do without PyTorch.
    __getattr__ = on_first_use(
        __name__,
        {
            "batch": ["collate"],
            "charge": ["stated_spin", "total_charge"],
            "container": ["Graph"],
            "geometry": ["edge_vectors", "exact_dtype", "virial", "volumes"],
            "images": ["unwrapped"],
            "moving": ["MovingGraph"],
            "neighbours": ["Neighbours", "StructureError", "find_neighbours"],
            "neighbours_of_many": ["NeighboursOfMany", "find_neighbours_of_many"],
            "plausibility": ["drop_placeholder_cell", "implausible"],
            "structure": ["from_atoms"],
            "verlet": ["DEFAULT_SKIN", "MovingGraphs"],
        },
    )


def __dir__() -> list[str]:
    return sorted(__all__)
