"""From atomic structures to graphs: neighbours, batches, cells and stress."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "collate": "batch",
    "stated_spin": "charge",
    "total_charge": "charge",
    "Graph": "container",
    "edge_vectors": "geometry",
    "exact_dtype": "geometry",
    "virial": "geometry",
    "volumes": "geometry",
    "unwrapped": "images",
    "MovingGraph": "moving",
    "Neighbours": "neighbours",
    "StructureError": "neighbours",
    "find_neighbours": "neighbours",
    "NeighboursOfMany": "neighbours_of_many",
    "find_neighbours_of_many": "neighbours_of_many",
    "drop_placeholder_cell": "plausibility",
    "implausible": "plausibility",
    "from_atoms": "structure",
    "DEFAULT_SKIN": "verlet",
    "MovingGraphs": "verlet",
}


if not TYPE_CHECKING:  # else every name would be there

    def __getattr__(name: str) -> Any:
        """Import on first use: processes that read structure files do without PyTorch."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
