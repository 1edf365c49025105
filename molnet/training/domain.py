"""The domain of a trained model, from the data of its training, and what it tells of errors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from molnet.datasets.base import DataSet
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.models import Model, load_model, save_model
from molnet.models.domain import Domain, sampled
from molnet.properties import Property
from molnet.training.by_structure import StructureErrors
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


def domain_figures(
    errors: StructureErrors, properties: Mapping[str, Property]
) -> DomainFigures | None:
    """What distances to the training set tell of the errors of forces, or of the first property.

    Args:
        errors: of all structures of a part; those without labels do not count.
        properties: those that were compared.

    Returns:
        None where no distances were measured.
    """
    # Imported here, as it takes a while.
    from scipy.stats import spearmanr

    if errors.distances is None:
        return None
    name = "forces" if "forces" in properties else next(iter(properties))
    labelled = np.isfinite(errors.mean[name])
    distances, largest = errors.distances[labelled], errors.largest[name][labelled]
    rank = math.nan
    if len(largest) > 2 and np.ptp(distances) > 0 and np.ptp(largest) > 0:
        rank = float(spearmanr(distances, largest).statistic)
    return DomainFigures(
        name,
        None if math.isnan(rank) else round(rank, 4),
        int((distances > 1).sum()),
        len(distances),
    )
