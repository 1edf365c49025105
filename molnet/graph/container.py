"""The graph of one or many structures: named tensors."""

from collections.abc import Iterator

import torch
from torch import Tensor


class Graph:
    """Structures as one disconnected graph.

    Its tensors are read and written as those of :class:`torch_geometric.data.Batch`, which the
    batches of training are: ``graph.pos``, ``graph["pos"]``, ``"shifts" in graph``. Predictions do
    without that package, whose import takes longer than they do.

    Attributes:
        species: [N], atomic numbers.
        pos: [N, 3], in Å.
        edge_index: [2, E], senders and receivers.
        cell: [G, 3, 3], in Å.
        pbc: [G, 3].
        charge: [G], total charges in e.
        batch: [N], the structure of each atom.
        ptr: [G + 1], the first atom of each structure, and N.
        shifts: [E, 3], only if a structure is periodic.
    """

    species: Tensor
    pos: Tensor
    edge_index: Tensor
    cell: Tensor
    pbc: Tensor
    charge: Tensor
    batch: Tensor
    ptr: Tensor
    shifts: Tensor

    def __init__(self, **tensors: Tensor) -> None:
        vars(self).update(tensors)

    def __getitem__(self, name: str) -> Tensor:
        return vars(self)[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        vars(self)[name] = value

    def __contains__(self, name: str) -> bool:
        return name in vars(self)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return iter(vars(self).items())

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}={list(tensor.shape)}" for name, tensor in self)
        return f"Graph({shapes})"

    def keys(self) -> list[str]:
        """The names of the tensors."""
        return [*vars(self)]

    @property
    def num_graphs(self) -> int:
        """How many structures there are."""
        return len(self.ptr) - 1

    @property
    def num_nodes(self) -> int:
        """How many atoms there are in all."""
        return len(self.pos)

    @property
    def num_edges(self) -> int:
        """How many edges there are in all."""
        return self.edge_index.shape[1]

    def to(self, device: torch.device | str) -> "Graph":
        """The same graph on a device; this one stays where it is."""
        return Graph(**{name: tensor.to(device) for name, tensor in self})

    def clone(self) -> "Graph":
        """A copy with copies of the tensors, which autograd follows."""
        return Graph(**{name: tensor.clone() for name, tensor in self})
