"""Which structures go into which batch."""

from collections.abc import Iterator
from heapq import heapreplace

import numpy as np
from torch.utils.data import Sampler


class BatchSampler(Sampler[list[int]]):
    """Batches of a given number of structures, bounded by atoms and edges where asked.

    The order depends on the seed and the epoch alone, so a resumed run sees the same batches as an
    uninterrupted one. A batch is closed before it would exceed a bound; a single structure above a
    bound is a batch by itself.

    Args:
        node_counts: [n], atoms of each structure.
        edge_counts: [n], edges of each structure.
        batch_size: the largest number of structures in a batch.
        max_atoms: the largest number of atoms in a batch.
        max_edges: the largest number of edges in a batch.
        shuffle: a new order in every epoch; else the order of the data set.
        seed: of the orders.
    """

    def __init__(
        self,
        node_counts: np.ndarray,
        edge_counts: np.ndarray,
        batch_size: int,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        bounds = {"batch_size": batch_size, "max_atoms": max_atoms, "max_edges": max_edges}
        for name, bound in bounds.items():
            if bound is not None and bound < 1:
                raise ValueError(f"{name}: expected a positive number, got {bound}")
        if len(node_counts) != len(edge_counts):
            raise ValueError(
                f"expected as many edge counts as node counts, got {len(edge_counts)} and "
                f"{len(node_counts)}"
            )
        self.node_counts = node_counts
        self.edge_counts = edge_counts
        self.batch_size = batch_size
        self.max_atoms = max_atoms
        self.max_edges = max_edges
        self.shuffle = shuffle
        self.seed = seed
        self.share(1, 0)
        self.set_epoch(0)

    def share(self, processes: int, process: int) -> None:
        """Gives one of several processes its share of every batch.

        The shares of all processes make the batch, and each is about the same work. Where a batch
        has fewer structures than there are processes, some shares are empty.

        Args:
            processes: their number.
            process: which of them this is, counted from 0.
        """
        self._processes, self._process = processes, process

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Chooses the epoch's order.

        Args:
            epoch: counted from 0.
            skip: batches at the start of the epoch that the next pass leaves out, because the
                interrupted run has already used them.
        """
        self.epoch = epoch
        self._skip = skip
        self._batches = self._pack(self._order())

    def __len__(self) -> int:
        """The number of batches in the whole epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        batches, self._skip = self._batches[self._skip :], 0
        yield from (self._share_of(batch).tolist() for batch in batches)

    def _share_of(self, batch: np.ndarray) -> np.ndarray:
        """The structures of this process: each goes where there is least to do, large first."""
        if self._processes == 1:
            return batch
        work = self.edge_counts[batch] + self.node_counts[batch]
        loads = [(0, process) for process in range(self._processes)]  # a heap
        ours = []
        for place in np.argsort(-work, kind="stable").tolist():
            load, process = loads[0]
            heapreplace(loads, (load + int(work[place]), process))
            if process == self._process:
                ours.append(place)
        return batch[sorted(ours)]

    def _order(self) -> np.ndarray:
        n = len(self.node_counts)
        if not self.shuffle:
            return np.arange(n)
        return np.random.default_rng([self.seed, self.epoch]).permutation(n)

    def _pack(self, order: np.ndarray) -> list[np.ndarray]:
        """Cuts the order where the next structure would exceed a bound."""
        n = len(order)
        sizes = [np.ones(n, dtype=np.int64)]
        bounds = [self.batch_size]
        for counts, bound in (
            (self.node_counts, self.max_atoms),
            (self.edge_counts, self.max_edges),
        ):
            if bound is not None:
                sizes.append(counts[order])
                bounds.append(bound)
        sums = [np.concatenate([[0], np.cumsum(size)]) for size in sizes]
        batches, start = [], 0
        while start < n:
            ends = [
                int(np.searchsorted(running, running[start] + bound, side="right")) - 1
                for running, bound in zip(sums, bounds, strict=True)
            ]
            end = max(start + 1, min(ends))
            batches.append(order[start:end])
            start = end
        return batches
