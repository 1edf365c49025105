"""The model that a run starts from: random weights, or those of a model that is fine-tuned."""

import logging
from typing import Any

import torch

from molnet.datasets.statistics import compute_statistics
from molnet.models import Model
from molnet.models.heads import Extensive
from molnet.training.config import ConfigError, TrainConfig
from molnet.training.data import DataModule
from molnet.training.data_checks import (
    notes_on_charges,
    notes_on_duplicates,
    notes_on_labels,
    notes_on_symmetry,
)
from molnet.training.finetuning import Parent
from molnet.training.sources import training_elements
from molnet.training.start import described, notes_on, started_from
from molnet.training.versions import versions

log = logging.getLogger(__name__)


def initial_model(settings: TrainConfig, data: DataModule) -> Model:
    """The model that a new run starts from; what deserves attention in its data is logged.

    Args:
        settings: of the run.
        data: the parts of the data set.

    Raises:
        ConfigError: another part than that for training holds an element that could not be learned,
            or there is no energy to hold the repulsion that is asked for.
        FileNotFoundError, ModelFormatError: there is no model to be fine-tuned, or it is damaged.
    """
    statistics = compute_statistics(data.parts["train"], settings.target.references)
    starts = statistics.pop("starts")
    heads = settings.target.heads
    notes = [
        *statistics.pop("notes"),
        *notes_on_duplicates(data),
        *notes_on_labels(data),
        *notes_on_charges(data, heads),
        *notes_on_symmetry(data, heads),
    ]
    for name, head in heads.items():
        if head.get("relative"):
            if forces := statistics["targets"].get("forces"):
                statistics["targets"][name] = {"scale": forces["scale"]}
            notes.append(
                f"no energy is trained, only its derivatives, which leave the zero of the energy "
                f"open. The energy is predicted as {name}; its zero is arbitrary for each "
                "composition."
            )
    parent = Parent.of(settings)
    provenance = {
        "dataset": settings.dataset.name,
        "level_of_theory": settings.dataset.level_of_theory,
        "dataset_checksum": data.store.checksum,
        "structures": {name: len(part) for name, part in data.parts.items()},
        "seed": settings.seed,
        "versions": versions(),
        **({} if parent is None else {"parent": parent.provenance}),
    }
    elements, dtype = training_elements(data), getattr(torch, settings.trainer.dtype)

    def fresh(statistics: dict[str, Any]) -> Model:
        """The model with random weights; its heads start from what references leave."""
        model = Model(
            vars(settings.model),
            heads,
            elements,
            statistics,
            settings.target.declared(),
            provenance,
        )
        for name, per_atom in starts.items():
            trained = model.heads[name]
            if type(trained) is Extensive:
                trained.start_from(per_atom)
        return model.to(dtype)

    if parent is None:
        model = fresh(statistics)
        if model.repulsion is not None and not model.potential_energies:
            raise ConfigError(
                "model.repulsion=true is part of an energy that nuclei feel, and the target has "
                f"none ({', '.join(heads)}), or several of unknown meaning. Choose another target, "
                "give one energy its forces (+target.heads.NAME.forces=true, for which no labels "
                "are needed), or leave the repulsion out."
            )
    else:
        start = started_from(parent, fresh, statistics, data)
        model, notes = start.model, notes_on(start, notes)
    for note in notes:
        log.info("note: %s", note)
    if parent is not None:
        log.info("%s\n", described(start, parent))
    return model
