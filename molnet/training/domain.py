"""The domain of a trained model, from the data of its training, and what it tells of errors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from molnet.datasets.base import DataSet
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.models import Model, load_model, save_model
from molnet.models.domain import DISTANCES, Domain, sampled
from molnet.properties import Property
from molnet.training.data import in_order

ATOMS = 50_000
"""At most about this many atoms of the training part, and of the validation part, are looked at."""

OF_EACH_ELEMENT = 500
"""So many atoms of each element are among them, where there are."""


def fit_domain(
    model: Model, train: GraphDataset, validation: GraphDataset, settings: DataSet
) -> Domain:
    """The domain of a model that was trained on a part of a data set.

    Args:
        model: with its final weights.
        train: what it was trained on.
        validation: structures that it was not trained on, of the same kind, which set the unit of
            the distance; if they are those of ``train``, or none, a fifth of these is left out.
        settings: sizes of the batches.

    Returns:
        The domain, of the model's type and on its device: ``model.domain = fit_domain(...)``.
    """
    known, left_out = chosen(train), chosen(validation)
    if not np.setdiff1d(left_out.indices, known.indices).size:
        order = np.random.default_rng(0).permutation(len(known))
        fifth = max(1, len(known) // 5) if len(known) > 1 else 0
        left_out = part_of(known, order[:fifth] if fifth else order)
        known = part_of(known, order[fifth:])
    domain = Domain.fitted(
        sampled(model, in_order(known, settings)),
        sampled(model, in_order(left_out, settings)),
        species=len(model.species),
    )
    return domain.to(device=model.device, dtype=model.dtype)


def store_domain(
    folder: Path,
    train: GraphDataset,
    validation: GraphDataset,
    settings: DataSet,
    device: str | torch.device | None = None,
) -> Model:
    """Fit the domain of a saved model, as at the end of a training, and save it with the model.

    Args:
        folder: of the saved model.
        train, validation, settings: as :func:`fit_domain` takes them.
        device: where to compute.

    Returns:
        The model.
    """
    model = load_model(folder, device)
    model.domain = fit_domain(model, train, validation, settings)
    save_model(model, folder)
    return model


def chosen(part: GraphDataset) -> GraphDataset:
    """Structures of a part drawn at random, with enough atoms of each element."""
    counts = part.node_counts
    order = np.random.default_rng(0).permutation(len(part))
    taken = np.cumsum(counts[order]) <= ATOMS
    taken[:1] = True
    if taken.all():
        return part_of(part, order)
    rows, _ = rows_of(part.store.offsets, part.indices[order])
    species = part.store.species[rows]
    of_atom = np.repeat(np.arange(len(order)), counts[order])
    for element in np.unique(species):
        has = np.bincount(of_atom[species == element], minlength=len(order))
        missing = OF_EACH_ELEMENT - has[taken].sum()
        others = np.flatnonzero(~taken & (has > 0))
        taken[others[np.cumsum(has[others]) - has[others] < missing]] = True
    return part_of(part, order[taken])


def part_of(part: GraphDataset, places: np.ndarray) -> GraphDataset:
    """Some structures of a part, in the order in which they are stored, without labels."""
    indices = np.sort(part.indices[places])
    return GraphDataset(part.store, indices, part.cutoff, [], part.dtype)


@dataclass(frozen=True)
class DomainFigures:
    """What the distance to the training set tells of the errors on a part of a data set.

    Attributes:
        property: whose errors these are.
        rank_correlation: Spearman's, of each structure's distance and its largest error; None where
            there is nothing to rank.
        outside: how many structures are outside of the domain.
        structures: how many were compared.
    """

    property: str
    rank_correlation: float | None
    outside: int
    structures: int

    def __str__(self) -> str:
        rank = (
            "cannot be ranked" if self.rank_correlation is None else f"{self.rank_correlation:.2f}"
        )
        return (
            f"rank correlation of domain_distance and errors of {self.property}: {rank}; "
            f"{self.outside:,} of {self.structures:,} structures are outside of the domain"
        )


class DomainErrors:
    """Distances to the training set beside errors: of forces, or else of the first property.

    Args:
        properties: those that are compared.
    """

    def __init__(self, properties: Mapping[str, Property]) -> None:
        self.property = properties.get("forces") or next(iter(properties.values()))
        self._rows: list[Tensor] = []

    def add(self, predictions: Mapping[str, Tensor], graph: Batch) -> None:
        """Add a batch; nothing happens where no distances were measured."""
        if DISTANCES not in predictions:
            return
        name, atoms = self.property.name, graph.ptr.diff()
        errors = (predictions[name] - graph[name]).abs().flatten(1 if graph[name].ndim > 1 else 0)
        errors = errors.amax(1) if errors.ndim > 1 else errors
        if self.property.per == "atom":
            errors = largest_of_atoms(errors, graph)
        elif self.property.extensive:
            errors = errors / atoms
        distances = largest_of_atoms(predictions[DISTANCES], graph)
        self._rows.append(torch.stack([distances.double().cpu(), errors.double().cpu()]))

    def compute(self) -> DomainFigures | None:
        """The figures of all structures with labels; None where no distances were measured."""
        # Imported here, as it takes a while.
        from scipy.stats import spearmanr

        if not self._rows:
            return None
        distances, errors = torch.cat(self._rows, dim=1).numpy()
        labelled = np.isfinite(errors)
        distances, errors = distances[labelled], errors[labelled]
        rank = math.nan
        if len(errors) > 2 and np.ptp(distances) > 0 and np.ptp(errors) > 0:
            rank = float(spearmanr(distances, errors).statistic)
        return DomainFigures(
            self.property.name,
            None if math.isnan(rank) else round(rank, 4),
            int((distances > 1).sum()),
            len(distances),
        )


def largest_of_atoms(values: Tensor, graph: Batch) -> Tensor:
    """The largest value of each structure's atoms; NaN if one of them is."""
    largest = values.new_full((graph.num_graphs,), -torch.inf)
    return largest.scatter_reduce(0, graph.batch, values, "amax")
