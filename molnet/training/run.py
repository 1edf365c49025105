"""A training run, from its settings to its folder of results."""

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything

from molnet.datasets.dataset import GraphDataset
from molnet.datasets.splits import save_split
from molnet.datasets.statistics import compute_statistics
from molnet.models import Model, load_model
from molnet.training.checkpoints import RunInterrupted
from molnet.training.config import TrainConfig, checked_train
from molnet.training.data import DataModule, in_order
from molnet.training.losses import Loss, LossTerm
from molnet.training.module import TrainingModule
from molnet.training.plots import plot_learning_curves
from molnet.training.report import describe_run, next_commands
from molnet.training.results import Results, versions
from molnet.training.resume import check_resumable, checkpoint_path
from molnet.training.sources import (
    check_charges,
    check_molecules,
    draw_split,
    notes_on_charges,
    open_store,
    training_elements,
)
from molnet.training.trainer import make_trainer, quiet_lightning

log = logging.getLogger(__name__)

EVALUATED_TRAINING_STRUCTURES = 1000
"""Errors on the training part are those of at most so many of its structures, drawn at random."""


def train(config: DictConfig) -> dict[str, Any]:
    """Train a model as ``scripts/train.py`` does.

    Args:
        config: the settings composed from ``conf/train.yaml``; where Hydra does not run the
            program, ``run_folder`` must be given.

    Returns:
        What ``metrics.json`` in the run's folder holds: for each part of the split and each
        quantity ``mae``, ``rmse``, ``count`` and ``unit``; seconds; versions.

    Raises:
        ConfigError: settings that are unknown, missing or contradictory.
        ValueError: data that cannot be used, a loss that diverges; the message says what to do.
        OSError: the run's folder cannot be written.
        RunInterrupted: Ctrl-C; holds the checkpoint to resume from.
    """
    settings = checked_train(config)
    folder = Path(settings.run_folder).absolute()
    try:
        return _train(settings, OmegaConf.to_container(config, resolve=True), folder)
    except KeyboardInterrupt as interruption:
        last = folder / "checkpoints" / "last.ckpt"
        raise RunInterrupted(last if last.is_file() else None) from interruption


def _train(settings: TrainConfig, plain: Any, folder: Path) -> dict[str, Any]:
    started = time.monotonic()
    plain["dataset"] = asdict(settings.dataset)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(plain)))
    if settings.trainer.threads is not None:
        torch.set_num_threads(settings.trainer.threads)
    seed_everything(settings.seed, verbose=False)

    with quiet_lightning():
        run = make_trainer(settings, folder)
    device = run.trainer.strategy.root_device
    data = _data(settings, folder)
    model = _model(settings, data)
    plain["dataset_checksum"] = data.store.checksum
    if settings.resume is not None:
        for change in check_resumable(checkpoint_path(settings.resume), plain):
            log.info("changed since the checkpoint: %s", change)
    module = TrainingModule(
        model, _loss(settings, model), instantiate(settings.optimizer), config=plain
    )
    log.info("%s\n", describe_run(settings, data, model, device, folder))
    with quiet_lightning(), run.interruption.watched(), _full_disk_explained(folder):
        run.trainer.fit(module, data, ckpt_path=settings.resume, weights_only=True)
    trained = time.monotonic()

    results = Results(load_model(folder / "model", device=device), folder)
    for name, part in _evaluated_parts(data).items():
        results.add(name, part, in_order(part, settings.dataset), in_full=name == "test")
    plot_learning_curves(run.history.rows, folder / "learning_curves.png")
    metrics = results.write(
        epochs=len(run.history.rows),
        best_epoch=run.checkpoints.best_epoch,
        data_wait=float(np.mean([row["data_wait"] for row in run.history.rows])),
        seconds={
            "preparation_and_training": round(trained - started, 1),
            "evaluation": round(time.monotonic() - trained, 1),
        },
    )
    log.info("waiting for data took %.1f%% of training\n", 100 * metrics["data_wait"])
    log.info(next_commands(folder))
    return metrics


@contextmanager
def _full_disk_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            error.errno,
            "no space left for the run's files. Free some and resume from checkpoints/last.ckpt, "
            "or start again with hydra.run.dir=FOLDER on another disk",
            str(folder),
        ) from error


def _data(settings: TrainConfig, folder: Path) -> DataModule:
    properties = list(settings.target.losses)
    store = open_store(settings.dataset, properties, settings.target.declared())
    check_charges(store, settings.target.heads)
    split = draw_split(store, settings.dataset)
    save_split(folder / "split.json", split, store.checksum)
    dtype = getattr(torch, settings.trainer.dtype)
    data = DataModule(
        store, split, settings.dataset, settings.model.cutoff, properties, dtype, settings.seed
    )
    for part in data.parts.values():
        check_molecules(part, settings.target.heads)
    return data


def _model(settings: TrainConfig, data: DataModule) -> Model:
    statistics = compute_statistics(data.parts["train"], settings.target.references)
    for note in statistics.pop("notes") + notes_on_charges(data, settings.target.heads):
        log.info("note: %s", note)
    model = Model(
        vars(settings.model),
        settings.target.heads,
        training_elements(data),
        statistics,
        settings.target.declared(),
        provenance={
            "dataset": settings.dataset.name,
            "dataset_checksum": data.store.checksum,
            "structures": {name: len(part) for name, part in data.parts.items()},
            "seed": settings.seed,
            "versions": versions(),
        },
    )
    return model.to(getattr(torch, settings.trainer.dtype))


def _loss(settings: TrainConfig, model: Model) -> Loss:
    targets = model.statistics["targets"]
    return Loss(
        [
            LossTerm(model.properties[name], targets[name]["scale"], **vars(term))
            for name, term in settings.target.losses.items()
        ]
    )


def _evaluated_parts(data: DataModule) -> dict[str, GraphDataset]:
    """The parts of the split that are not empty, the training part cut to a sample."""
    train = data.parts["train"]
    if len(train) > EVALUATED_TRAINING_STRUCTURES:
        chosen = np.random.default_rng(0).choice(len(train), EVALUATED_TRAINING_STRUCTURES, False)
        train = GraphDataset(
            train.store,
            np.sort(train.indices[chosen]),
            train.cutoff,
            [*train.properties],
            train.dtype,
        )
    parts = data.parts | {"train": train}
    return {name: part for name, part in parts.items() if len(part)}
