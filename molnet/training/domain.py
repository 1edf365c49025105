"""The domain of a trained model, from the data of its training."""

import logging

import numpy as np

from molnet.datasets.base import DataSet
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.models import Model
from molnet.models.domain import Domain, sampled
from molnet.training.data import in_order

log = logging.getLogger(__name__)

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
