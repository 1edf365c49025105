"""Several batches that make one step of the optimizer."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import torch
from torch_geometric.data import Batch


class BatchesOfSteps:
    """The batches of a loader, several of which make one step of the optimizer.

    ``batch.labels_of_step[NAME]`` tells how many labels of a property all batches of its step have.
    The labels of a step count alike by this number, in whichever of its batches they are. The last
    step of an epoch has the batches that are left.

    Args:
        loader: yields the batches.
        batches: of one step.
        names: of the properties that the batches have labels of.
    """

    def __init__(self, loader: Iterable[Batch], batches: int, names: Sequence[str]) -> None:
        self.loader: Any = loader
        self.batches = batches
        self.names = names

    def __len__(self) -> int:
        """The number of batches."""
        loader: Sized = self.loader
        return len(loader)

    def __iter__(self) -> Iterator[Batch]:
        left = iter(self.loader)
        while step := list(islice(left, self.batches)):
            counts = {name: sum(_labels(batch, name) for batch in step) for name in self.names}
            for batch in step:
                batch.labels_of_step = counts
                yield batch


def _labels(batch: Batch, name: str) -> int:
    label = batch[name]
    return label.numel() - int(torch.isnan(label).sum())
