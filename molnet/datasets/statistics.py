"""Statistics of the training set: the means and scales that a model starts from."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from molnet.datasets.charges import count_charges
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.references import fit_reference_energies, no_label

CHUNK = 8192  # structures held in memory at a time

NO_SPREAD = 1e-12
"""A standard deviation below this, relative to the size of the numbers, is only rounding."""


def compute_statistics(
    train: GraphDataset, references: Mapping[str, Mapping[str, float]] | None = None
) -> dict[str, Any]:
    """Means and scales of a training set, as plain numbers that fit into a JSON file.

    ``{"mean_neighbours": ..., "total_charges": [...], "targets": {name: {...}}, "starts": {...},
    "notes": [...]}``,
    with for each property of the data set, in its internal unit:

    - an extensive scalar: ``references`` by symbol, the ``residual_rmse`` that they leave, and,
      where compositions leave some open, the directions ``undetermined`` (see
      :func:`~molnet.datasets.references.fit_reference_energies`); ``scale`` is the standard
      deviation of the residuals per atom, or for the energy of a set with forces the root mean
      square of the force components;
    - another scalar of structures: ``mean``, and ``scale``, the standard deviation;
    - anything else (forces, vectors, tensors, charges): ``scale``, the root mean square of the
      components.

    A scale is never zero: where there is no spread (one structure, say) it is 1, with a note.

    Args:
        train: the training part; nothing else is looked at.
        references: for extensive scalars reference energies by symbol that are not to be fitted.

    Returns:
        That dictionary; ``mean_neighbours`` is the mean number of edges of an atom (1 when there
        are none at all, so that it can be divided by); ``total_charges`` are those that occur, in
        e; ``starts`` is, for extensive scalars whose references are not fitted, what they leave
        per atom on average; ``notes`` are sentences for the user.
    """
    if len(train) == 0:
        raise ValueError("expected at least one training structure, got none")
    given = references or {}
    for name in given:
        if name not in train.properties:
            raise ValueError(
                f"references are given for {name!r}, which is not a target; targets are "
                f"{', '.join(train.properties)}"
            )
    notes: list[str] = []
    targets: dict[str, dict[str, Any]] = {}
    starts: dict[str, float] = {}
    for name, property in train.properties.items():
        if property.per == "structure" and property.shape == () and property.extensive:
            fit = fit_reference_energies(train.store, train.indices, name, given.get(name))
            targets[name] = {
                "references": fit.energies,
                "residual_rmse": fit.residual_rmse,
                "scale": _spread(fit.residual_std_per_atom, _moments(train, name)[2]),
            }
            if not fit.fitted:
                starts[name] = fit.residual_mean_per_atom
            if fit.left_open:
                targets[name]["undetermined"] = list(fit.left_open)
            notes.extend(note for note in fit.notes if note not in notes)
        else:
            mean, std, rms = _moments(train, name)
            is_scalar = property.per == "structure" and property.shape == ()
            targets[name] = (
                {"mean": mean, "scale": _spread(std, rms)} if is_scalar else {"scale": rms}
            )
    if "energy" in targets and "forces" in targets:
        targets["energy"]["scale"] = targets["forces"]["scale"]
    for name, target in targets.items():
        if target["scale"] == 0:
            target["scale"] = 1.0
            notes.append(f"{name}: the training labels have no spread; their scale is taken as 1.")
    edges = int(train.edge_counts.sum())
    atoms = int(train.node_counts.sum())
    return {
        "mean_neighbours": edges / atoms if edges else 1.0,
        "total_charges": list(count_charges(train)),
        "targets": targets,
        "starts": starts,
        "notes": notes,
    }


def _spread(std: float, size: float) -> float:
    """A standard deviation; 0 if it is only the rounding of numbers of this size."""
    return std if std > NO_SPREAD * size else 0.0


def _moments(train: GraphDataset, name: str) -> tuple[float, float, float]:
    """Mean, standard deviation and root mean square over all components that are not NaN."""
    count, mean, squares = 0, 0.0, 0.0  # squares: the sum of squared deviations from the mean
    for values in _chunks(train, name):
        n = values.size
        if n == 0:
            continue
        step = values.mean() - mean
        squares += ((values - values.mean()) ** 2).sum() + step**2 * count * n / (count + n)
        mean += step * n / (count + n)
        count += n
    if count == 0:
        raise ValueError(no_label(name))
    variance = squares / count
    return float(mean), float(variance**0.5), float((variance + mean**2) ** 0.5)


def _chunks(train: GraphDataset, name: str) -> Iterator[np.ndarray]:
    labels = train.store.labels[name]
    for start in range(0, len(train), CHUNK):
        rows = train.indices[start : start + CHUNK]
        if train.properties[name].per == "atom":
            rows, _ = rows_of(train.store.offsets, rows)
        values = labels[rows].ravel()
        yield values[~np.isnan(values)]
