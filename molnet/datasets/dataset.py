"""A part of a store as batches of graphs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset
from torch_geometric.data import Batch

from molnet.datasets.store import ArrayStore
from molnet.graph.batch import collate
from molnet.nearest import hint


class GraphDataset(Dataset[Batch]):
    """Chosen structures of a store, as radius graphs with labels.

    A batch is made by indexing the store's flat arrays once for all its structures; nothing is
    kept in memory. With a batch sampler and ``collate_fn=identity`` (any function that returns its
    argument) a :class:`torch.utils.data.DataLoader` yields whole batches through
    :meth:`__getitems__`.

    Args:
        store: the data set.
        indices: [n] structures of the store, in the order of this data set.
        cutoff: Å. If the store has no edges for this cutoff yet, they are found first.
        properties: the labels that the batches carry.
        dtype: of positions and labels; total energies are always float64.

    Raises:
        ValueError: the store does not have one of the properties, or an index is out of range.
    """

    def __init__(
        self,
        store: ArrayStore,
        indices: np.ndarray | Sequence[int],
        cutoff: float,
        properties: Sequence[str] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.store = store
        self.indices = np.asarray(indices, dtype=np.int64)
        self.cutoff = float(cutoff)
        self.dtype = dtype
        for name in properties:
            if name not in store.labels:
                raise ValueError(_absent(name, store))
        if len(self.indices) and not (0 <= self.indices.min() <= self.indices.max() < len(store)):
            raise ValueError(
                f"expected indices from 0 to {len(store) - 1}, got {self.indices.min()} to "
                f"{self.indices.max()}"
            )
        self.properties = {name: store.properties[name] for name in properties}
        self.edges = store.edges(cutoff)

    @property
    def node_counts(self) -> np.ndarray:
        """[n] int64, the atoms of each structure."""
        offsets = self.store.offsets
        return offsets[self.indices + 1] - offsets[self.indices]

    @property
    def edge_counts(self) -> np.ndarray:
        """[n] int64, the edges of each structure."""
        offsets = self.edges.offsets
        return offsets[self.indices + 1] - offsets[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these structures, counted within this data set.

        No structures give a batch of the smallest one, without labels: for a process that has
        nothing to do while others have.
        """
        if not len(indices):
            graph = self[int(self.edge_counts.argmin())]
            for name in self.properties:
                graph[name].fill_(torch.nan)
            return graph
        store = self.store
        chosen = self.indices[np.asarray(indices, dtype=np.int64)]
        nodes, counts = rows_of(store.offsets, chosen)
        edges, edge_counts = rows_of(self.edges.offsets, chosen)
        no_cell = np.zeros((len(chosen), 3, 3)), np.zeros((len(chosen), 3), dtype=np.bool_)
        graph = collate(
            species=store.species[nodes],
            pos=store.positions[nodes],
            counts=counts,
            cell=no_cell[0] if store.cells is None else store.cells[chosen],
            pbc=no_cell[1] if store.pbc is None else store.pbc[chosen],
            senders=self.edges.senders[edges],
            receivers=self.edges.receivers[edges],
            edge_counts=edge_counts,
            shifts=None if self.edges.shifts is None else self.edges.shifts[edges],
            charge=None if store.charge is None else store.charge[chosen],
            labels={
                property: store.labels[name][nodes if property.per == "atom" else chosen]
                for name, property in self.properties.items()
            },
            dtype=self.dtype,
        )
        return Batch(**graph)


def rows_of(offsets: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of flat arrays that belong to the chosen structures.

    Args:
        offsets: [n + 1]; structure i owns the rows ``offsets[i]:offsets[i + 1]``.
        chosen: [G] structures.

    Returns:
        The rows [sum of counts], structure by structure, and the counts [G].

    >>> rows, counts = rows_of(np.array([0, 2, 5, 6]), np.array([2, 0]))
    >>> rows.tolist(), counts.tolist()
    ([5, 0, 1], [1, 2])
    """
    starts = offsets[chosen]
    counts = offsets[chosen + 1] - starts
    before = np.cumsum(counts) - counts  # rows of the structures chosen earlier
    return np.repeat(starts - before, counts) + np.arange(counts.sum()), counts


def _absent(name: str, store: ArrayStore) -> str:
    return (
        f"the data set {store.path} has no labels for {name!r}.{hint(name, store.labels)} It has: "
        f"{', '.join(store.labels) or 'none'}. Choose another target or, with structure files, "
        f"declare the label's key: dataset.labels.{name}={{key: ..., unit: ...}}."
    )
