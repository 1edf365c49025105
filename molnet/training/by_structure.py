"""Errors and distances of every structure of a part of a data set: which are the worst, and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from molnet.models.domain import DISTANCES
from molnet.properties import Property
from molnet.units import conversion_factor


@dataclass(frozen=True)
class StructureErrors:
    """Errors structure by structure, in the order of the part.

    Attributes:
        mean: by property [n], the mean absolute error over the components and atoms of a structure,
            of total energies the error per atom; NaN without labels. In ``Property.shown_in``.
        largest: likewise, the largest absolute error of a component.
        distances: [n], the distance to the training set; None for a model that does not know it.
    """

    mean: dict[str, np.ndarray]
    largest: dict[str, np.ndarray]
    distances: np.ndarray | None


class ErrorsByStructure:
    """Gathers :class:`StructureErrors` batch by batch.

    Args:
        properties: those that are compared. Labels that are NaN do not count.
    """

    def __init__(self, properties: Iterable[Property]) -> None:
        self.properties = list(properties)
        self._rows: dict[str, list[Tensor]] = {entry.name: [] for entry in self.properties}
        self._distances: list[Tensor] = []

    def update(self, predictions: Mapping[str, Tensor], graph: Batch) -> None:
        """Add the structures of a batch."""
        counts = graph.ptr.diff().cpu()
        of_atom = graph.batch.cpu()
        for entry in self.properties:
            label, prediction = (of[entry.name].cpu().double() for of in (graph, predictions))
            error = (prediction - label).abs().reshape(len(label), -1)
            if entry.is_total_energy:
                error = error / counts[:, None]
            owner = of_atom if entry.per == "atom" else torch.arange(len(counts))
            labelled = ~torch.isnan(error)
            known = torch.where(labelled, error, 0.0)
            sums = known.new_zeros(2, len(counts))
            sums.index_add_(1, owner, torch.stack([known.sum(1), labelled.double().sum(1)]))
            largest = known.new_zeros(len(counts)).scatter_reduce(0, owner, known.amax(1), "amax")
            mean = sums[0] / sums[1]  # NaN for 0 / 0
            self._rows[entry.name].append(torch.stack([mean, largest]))
        if DISTANCES in predictions:
            self._distances.append(_largest_of_atoms(predictions[DISTANCES], graph).cpu())

    def compute(self) -> StructureErrors:
        """All that was added."""
        mean, largest = {}, {}
        for entry in self.properties:
            rows = torch.cat(self._rows[entry.name], dim=1).numpy()
            mean[entry.name], largest[entry.name] = rows * conversion_factor(
                entry.unit, entry.shown_in
            )
        distances = torch.cat(self._distances).numpy() if self._distances else None
        return StructureErrors(mean, largest, distances)


def _largest_of_atoms(values: Tensor, graph: Batch) -> Tensor:
    """The largest value of each structure's atoms; NaN if one of them is."""
    largest = values.new_full((graph.num_graphs,), -torch.inf)
    return largest.scatter_reduce(0, graph.batch, values, "amax")
