"""What a fine-tuning starts from: the weights of a model, with references of the new labels.

Heads that the model has go on with its weights and predict the same. What the new level of theory
adds for each atom is fitted to the training part and becomes part of the reference energies: the
training starts from what the model knows of bonds.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molnet.datasets.dataset import GraphDataset
from molnet.datasets.references import IMPLAUSIBLE_RESIDUAL
from molnet.datasets.shifts import Shift, fit_shift
from molnet.graph import from_atoms
from molnet.graph.elements import SYMBOLS
from molnet.graph.structure import Atoms
from molnet.models import Model
from molnet.models.heads import Extensive, Intensive
from molnet.models.transfer import Transfer, transfer
from molnet.training.data import DataModule, in_order
from molnet.training.domain import chosen
from molnet.training.finetuning import Parent


@dataclass(frozen=True)
class Start:
    """A model before its fine-tuning.

    Attributes:
        model: with the parent's weights, and references of the new labels.
        moved: what it has from the parent.
        shifts: by head, what was added to the parent's references, or to its mean.
    """

    model: Model
    moved: Transfer
    shifts: Mapping[str, Shift | float]


def started_from(
    parent: Parent,
    fresh: Callable[[dict[str, Any]], Model],
    statistics: dict[str, Any],
    data: DataModule,
) -> Start:
    """The model that a fine-tuning starts from.

    Args:
        parent: the trained model.
        fresh: makes the new model with random weights, from its statistics.
        statistics: of the training part, as for a training from scratch.
        data: the data.
    """
    model = fresh(statistics)
    moved = transfer(parent.model, model)
    weights = model.state_dict()

    def with_weights(statistics: dict[str, Any]) -> Model:
        model = fresh(statistics)
        model.load_state_dict(weights)
        return model

    statistics = _with_scales_of(parent.model, model, moved, statistics)
    model, targets = with_weights(statistics), statistics["targets"]
    part = chosen(data.parts["train"])
    predicted = _predictions(model.eval(), part, data)
    shifts: dict[str, Shift | float] = {}
    for name in moved.heads:
        if name not in data.store.labels:
            continue  # a relative energy
        if isinstance(model.heads[name], Intensive):
            labels = data.store.labels[name][part.indices]
            shifts[name] = difference = float(np.nanmean(labels - predicted[name]))
            targets[name]["mean"] += difference
        elif isinstance(model.heads[name], Extensive):
            atoms = _shift_of_isolated_atoms(model, name, data)
            shifts[name] = shift = fit_shift(data.store, part.indices, name, predicted[name], atoms)
            for symbol, energy in shift.energies.items():
                targets[name]["references"][symbol] += energy
            if shift.left_open:
                targets[name]["undetermined"] = list(shift.left_open)
    return Start(with_weights(statistics), moved, shifts)


def notes_on(start: Start, notes: list[str]) -> list[str]:
    """The notes on the training part that hold for a fine-tuning, and its own.

    Args:
        start: what it starts from.
        notes: as for a training from scratch.
    """
    # Those on fitted references are not about these.
    kept = [note for note in notes if not note.startswith(tuple(f"{n}: " for n in start.shifts))]
    for name, shift in start.shifts.items():
        if not isinstance(shift, Shift):
            continue
        unit = start.model.properties[name].unit
        if shift.missed is not None and abs(shift.missed) > IMPLAUSIBLE_RESIDUAL:
            kept.append(
                f"{name}: isolated atoms are not used. With their energies the model is off by "
                f"{shift.missed:.3g} {unit} per atom: it was not trained on isolated atoms."
            )
        if shift.left_open:
            kept.append(
                f"{name}: the training structures have too few compositions to tell the elements "
                "apart. Predictions for other compositions are off by an unknown constant and "
                "warn of it; forces are right. To avoid this, add structures of other "
                "compositions or, if the model was trained on isolated atoms, the energies of "
                "these (dataset.isolated_atoms=FILE)."
            )
        if unit == "eV" and shift.rmse > IMPLAUSIBLE_RESIDUAL:
            kept.append(
                f"{name}: the model is off by {shift.rmse:.3g} eV per atom, more than chemical "
                "bonds explain. Are the unit and the level of theory the same everywhere?"
            )
    return kept


def described(start: Start, parent: Parent) -> str:
    """What is loaded, given up and started anew, in lines for the user."""
    moved, model = start.moved, start.model
    number = sum(tensor.numel() for tensor in model.state_dict().values())
    heads = [
        name if name == other else f"{name} (from {other})" for name, other in moved.heads.items()
    ]
    whole = not moved.layers and not moved.widened
    parts = ["the network" if whole else "parts of the network", *heads]
    rows = [
        ("fine-tunes", f"{parent.name}, {parent.level_of_theory}"),
        ("loaded", f"{', '.join(parts)}: {moved.loaded:,} of {number:,} weights; none is frozen"),
    ]
    if moved.layers:
        rows.append(("new", f"{', '.join(moved.layers)}: the heads want other features"))
    if moved.widened:
        known = {ir for _, ir in parent.model.network.irreps_out}
        more = ", ".join(str(ir) for _, ir in model.network.irreps_out if ir not in known)
        rows.append(("new", f"features {more} of the last layer, which the heads want"))
    rows += [("new", f"head {name}, {reason}") for name, reason in moved.anew.items()]
    rows += [
        ("new", f"element {SYMBOLS[z]}, which starts with the weights of {SYMBOLS[source]}")
        for z, source in moved.elements.items()
    ]
    if moved.left_out:
        left_out = ", ".join(SYMBOLS[z] for z in moved.left_out)
        rows.append(("given up", f"{left_out}: no training structure has them"))
    for name, shift in start.shifts.items():
        rows += _rows_of(shift, f"{name} in {model.properties[name].unit}")
    return "\n".join(f"{key:11} {text}" for key, text in rows)


def _rows_of(shift: Shift | float, name: str) -> list[tuple[str, str]]:
    if isinstance(shift, float):
        return [("shift", f"of {name}: {shift:+.4f}")]
    values = ", ".join(f"{symbol} {value:+.4f}" for symbol, value in shift.energies.items())
    if shift.left_open:
        values = f"{shift.mean:+.4f} on average, not known for single elements"
    rows = [("shift", f"of {name} per atom: {values}")]
    if shift.by_atoms:
        rows.append(
            ("", f"nearest to that of isolated atoms, with which it differs by {shift.missed:+.3f}")
        )
    return [*rows, ("", f"which leaves an RMSE of {shift.rmse:.4f} per atom before training")]


def _with_scales_of(
    parent: Model, model: Model, moved: Transfer, statistics: dict[str, Any]
) -> dict[str, Any]:
    """Statistics in which what weights refer to is as in the parent."""
    theirs = parent.config["statistics"]
    statistics = copy.deepcopy(statistics) | {"mean_neighbours": theirs["mean_neighbours"]}
    targets = statistics["targets"]
    for name, other in moved.heads.items():
        known = theirs["targets"][other]
        scale = targets[name]["scale"] if name in moved.rescaled else known["scale"]
        targets[name] = {"scale": scale}
        if "mean" in known:
            targets[name]["mean"] = known["mean"]
        if "references" in known:
            symbols = [SYMBOLS[z] for z in model.species]
            energies = {symbol: known["references"].get(symbol, 0.0) for symbol in symbols}
            targets[name]["references"] = energies
        if name == model.energy:  # as in every training
            for derived in {"forces", "stress"} & targets.keys():
                targets[derived] = {"scale": scale}
    return statistics


@torch.no_grad()
def _predictions(
    model: Model, part: GraphDataset, data: DataModule
) -> dict[str, NDArray[np.float64]]:
    """What a model predicts for each structure of a part, or for each atom."""
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in model.heads}
    for graph in in_order(part, data.settings):
        outputs = model(graph)
        for name in rows:
            rows[name].append(outputs[name].double().numpy())
    return {name: np.concatenate(parts) for name, parts in rows.items()}


@torch.no_grad()
def _shift_of_isolated_atoms(model: Model, name: str, data: DataModule) -> dict[str, float]:
    """Energies of isolated atoms among the data, less what a model predicts, by symbol."""
    given = data.store.manifest["source"].get("isolated_atoms", {}).get(name, {})
    return {
        symbol: energy
        - float(model(from_atoms([Atoms(symbol)], model.cutoff, dtype=model.dtype))[name])
        for symbol, energy in given.items()
        if symbol in {SYMBOLS[z] for z in model.species}
    }
