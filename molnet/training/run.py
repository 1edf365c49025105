"""A training run, from its settings to its folder of results."""

import errno
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything

from molnet.datasets.dataset import GraphDataset
from molnet.datasets.splits import Split, save_split
from molnet.models import Model
from molnet.models.saving import model_of
from molnet.training import loggers
from molnet.training.arguments import given_arguments
from molnet.training.calls import made
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import TrainConfig, checked_train
from molnet.training.data import DataModule, in_order
from molnet.training.data_checks import (
    check_charges,
    check_forces,
    check_molecules,
)
from molnet.training.data_set_settings import plain_data_set
from molnet.training.domain import store_domain
from molnet.training.finetuning import with_network_of_parent
from molnet.training.folder import RESULTS, claimed, kept_log
from molnet.training.initial_model import initial_model
from molnet.training.interruption import RunInterrupted, number_of
from molnet.training.losses import Loss, LossTerm
from molnet.training.missing import missing_settings_named
from molnet.training.module import TrainingDivergedError, TrainingModule, parameter_groups
from molnet.training.objective import Judge, check_objective, objective_of, recorded_objective
from molnet.training.page import run_page, write_page
from molnet.training.plots import plot_learning_curves
from molnet.training.processes import ProcessError, followers
from molnet.training.profile import profile_table
from molnet.training.report import already_finished, describe_run, next_commands, written_files
from molnet.training.results import Results
from molnet.training.resume import (
    AUTO,
    check_groups,
    check_resumable,
    checkpoint_of,
    copy_best,
    finished,
)
from molnet.training.sources import draw_split
from molnet.training.trainer import RunTrainer, make_trainer, products_in, quiet_lightning

log = logging.getLogger(__name__)

EVALUATED_TRAINING_STRUCTURES = 1000
"""Errors on the training part are computed for at most this many structures, drawn at random."""


def train(
    config: DictConfig,
    log_file: str | None = None,
    arguments: Sequence[str] | None = None,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Train a model as ``scripts/train.py`` does.

    Nothing in the run's folder changes before all settings and data are checked.

    Args:
        config: the settings composed from ``conf/train.yaml``; where Hydra does not run the
            program, ``run_folder`` must be given.
        log_file: name of a file in the run's folder for all that is logged.
        arguments: the command line, by which ``resume=auto`` knows a run again; by default that of
            the program which Hydra runs.
        judge: may end the training early.

    Returns:
        What ``metrics.json`` in the run's folder holds: for each part of the split and each
        quantity ``mae``, ``rmse``, ``count`` and ``unit``; the objective; seconds; versions.

    Raises:
        ConfigError: settings are unknown, missing or contradictory; the folder is used by another
            run, or holds the results of one.
        ValueError: the data cannot be used, or the loss diverges; the message says what to do.
        OSError: the run's folder cannot be written.
        RunInterrupted: Ctrl-C; holds the checkpoint to resume from.
        TrainingPruned: the judge has ended the training.
    """
    started = time.monotonic()
    config = with_network_of_parent(config)
    settings = checked_train(config)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    plain["dataset"] = plain_data_set(settings.dataset, plain["dataset"]["_target_"])
    plain["arguments"] = given_arguments(arguments)
    plain.pop("trial", None)  # may hold a password
    folder = Path(settings.run_folder).absolute()
    checkpoint = checkpoint_of(settings.resume, folder)
    try:
        with (
            kept_log() as write_log,
            claimed(folder, _must_lack(settings.resume, checkpoint, folder)),
            _explained(folder),
        ):
            if checkpoint is not None:
                check_resumable(checkpoint, plain)
                if (metrics := finished(folder, checkpoint, settings)) is not None:
                    log.info("%s", already_finished(folder, settings.trainer))
                    objective = recorded_objective(checkpoint, settings.objective)
                    return metrics | {"objective": objective}
            prepared = prepare(settings, plain, folder, checkpoint, judge)
            if checkpoint is not None:
                changes = check_resumable(checkpoint, plain)
                plain["arguments"] = read_checkpoint(checkpoint)["config"].get("arguments", [])
            (folder / "checkpoints").mkdir(exist_ok=True)
            if log_file is not None:
                write_log(folder / log_file)
            if checkpoint is not None:
                for change in changes:
                    log.info("changed since the checkpoint: %s", change)
                copy_best(checkpoint, folder)
            (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(plain)))
            store = prepared.data.store
            path = folder / "split.json"
            save_split(path, prepared.split, store.checksum, store.structures_checksum)
            return _train(settings, prepared, plain, checkpoint, folder, started)
    except KeyboardInterrupt as interruption:
        last = folder / "checkpoints" / "last.ckpt"
        raise RunInterrupted(
            last if last.is_file() else None, number_of(interruption)
        ) from interruption


@dataclass(frozen=True)
class Prepared:
    """The parts of a run, made before anything is written."""

    run: RunTrainer
    data: DataModule
    split: Split
    module: TrainingModule


def _must_lack(resume: str | None, checkpoint: Path | None, folder: Path) -> Sequence[str]:
    """Files or folders that must not be in the folder of a run."""
    if checkpoint is not None and checkpoint.is_relative_to(folder):
        return ()
    # A batch job that ended within its first epoch starts again.
    return ("metrics.json",) if resume == AUTO else RESULTS


def prepare(
    settings: TrainConfig,
    plain: dict[str, Any],
    folder: Path,
    checkpoint: Path | None,
    judge: Judge | None = None,
) -> Prepared:
    """The parts of a run; nothing is written to its folder.

    Args:
        settings: of the run.
        plain: the same as plain values, which checkpoints hold; gets the checksum of the data.
        folder: of the run.
        checkpoint: from which it is resumed.
        judge: may end the training early.
    """
    if settings.trainer.threads is not None:
        torch.set_num_threads(settings.trainer.threads)
    seed_everything(settings.seed, verbose=False)
    with quiet_lightning():
        run = make_trainer(settings, folder, judge)
    data, split = _data(settings, plain["arguments"])
    plain["dataset_checksum"] = data.store.checksum
    if settings.finetune is not None and checkpoint is not None:
        # What it started from is in the checkpoint, and need not be there any more.
        model = model_of(read_checkpoint(checkpoint)["model"])
        model.to(getattr(torch, settings.trainer.dtype))
    else:
        model = initial_model(settings, data)
    made(settings.optimizer, "optimizer", model.parameters())  # raises for bad settings
    if checkpoint is not None:
        check_groups(checkpoint, parameter_groups(model))
    module = TrainingModule(
        model, _loss(settings, model), instantiate(settings.optimizer), config=plain
    )
    check_objective(settings.objective, module.validation_sums.errors.units)
    return Prepared(run, data, split, module)


def _train(
    settings: TrainConfig,
    prepared: Prepared,
    plain: dict[str, Any],
    checkpoint: Path | None,
    folder: Path,
    started: float,
) -> dict[str, Any]:
    run, data, module = prepared.run, prepared.data, prepared.module
    device = run.trainer.strategy.root_device
    log.info("%s\n", describe_run(settings, data, module.model, device, folder))
    with quiet_lightning(), run.interruption.watched():
        loggers.begin(run.trainer.loggers, plain)
        precision = products_in(settings.trainer.matmul_precision)
        with followers(settings.trainer, folder), precision:
            run.trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    trained = time.monotonic()

    parts = data.parts["train"], data.parts["validation"]
    model = store_domain(folder / "model", *parts, data.settings, device)
    results = Results(model, folder)
    for name, part in _evaluated_parts(data).items():
        results.add(name, part, in_order(part, settings.dataset), in_full=name == "test")
    plot_learning_curves(run.history.rows, folder / "learning_curves.png")
    best_epoch, profile = run.checkpoints.best_epoch, run.profile
    metrics = results.write(
        objective=objective_of(run.history.rows, best_epoch, settings.objective),
        epochs=len(run.history.rows),
        best_epoch=best_epoch,
        data_wait=float(np.mean([row["data_wait"] for row in run.history.rows])),
        seconds={
            "preparation_and_training": round(trained - started, 1),
            "evaluation": round(time.monotonic() - trained, 1),
        },
        **({} if profile is None else {"profile": profile.rounded}),
    )
    log.info(
        "best: epoch %d of %d; waiting for data took %.0f%% of training\n",
        *(metrics["best_epoch"], metrics["epochs"], 100 * metrics["data_wait"]),
    )
    if profile is not None:
        log.info("%s\n", profile_table(profile.seconds, profile.batches))
    loggers.conclude(run.trainer.loggers, results.by_name())
    rows = run.history.rows
    write_page(folder, lambda: run_page(folder, settings, plain, data, results, rows, metrics))
    log.info("%s\n", written_files(folder))
    log.info("%s", next_commands(folder, settings.trainer))
    return metrics


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Within this block errors that end a run say what is saved and what to do."""
    try:
        yield
    except TrainingDivergedError as error:
        raise TrainingDivergedError(
            f"{error}: the training has diverged. "
            + _saved(folder, "continue from there with optimizer.lr=LOWER resume=")
            + "Or start again with a lower optimizer.lr or trainer.gradient_clip, or with "
            "trainer.dtype=float64."
        ) from error
    except ProcessError as error:
        raise ProcessError(
            f"{error}. {_saved(folder, 'continue with resume=')}".rstrip()
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        named = [Path(name) for name in (error.filename, error.filename2) if name is not None]
        if named and not any(path.is_relative_to(folder) for path in named):
            raise  # another disk, which the message names
        raise OSError(
            error.errno,
            "no space left for the run's files. "
            + _saved(folder, "free some space and continue with resume=")
            + "To start again on another disk: hydra.run.dir=FOLDER",
            str(folder),
        ) from error


def _saved(folder: Path, how_to_go_on: str) -> str:
    if (folder / "checkpoints" / "last.ckpt").is_file():
        return f"The last checkpoint is saved: {how_to_go_on}{folder}. "
    return "No checkpoint is saved yet. "


def _data(settings: TrainConfig, arguments: Sequence[str]) -> tuple[DataModule, Split]:
    properties = list(settings.target.losses)
    with missing_settings_named(arguments):
        store = settings.dataset.open(properties, settings.target.declared())
    check_charges(store, settings.target.heads)
    split = draw_split(store, settings.dataset)
    dtype = getattr(torch, settings.trainer.dtype)
    data = DataModule(
        store, split, settings.dataset, settings.model.cutoff, properties, dtype, settings.seed
    )
    for part in data.parts.values():
        check_molecules(part, settings.target.heads)
    accepted = bool(getattr(settings.dataset, "accept_implausible", False))
    check_forces(data.parts["train"], settings.target.heads, accepted)
    return data, split


def _loss(settings: TrainConfig, model: Model) -> Loss:
    targets = model.statistics["targets"]
    return Loss(
        [
            LossTerm(model.properties[name], targets[name]["scale"], **vars(term))
            for name, term in settings.target.losses.items()
        ]
    )


def _evaluated_parts(data: DataModule) -> dict[str, GraphDataset]:
    """The parts of the split that are not empty, with a sample of the training part."""
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
