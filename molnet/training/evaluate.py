"""Errors of a saved model on a data set."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from molnet.datasets.base import DataSet
from molnet.datasets.charges import count_charges
from molnet.datasets.dataset import GraphDataset
from molnet.datasets.splits import checksum_of_data, load_split
from molnet.datasets.store import ArrayStore
from molnet.models import Model, load_model
from molnet.training.config import (
    ConfigError,
    EvaluateConfig,
    checked_evaluate,
)
from molnet.training.data import in_order
from molnet.training.data_checks import check_charges, check_molecules
from molnet.training.data_set_settings import checked_data_set
from molnet.training.folder import claimed, kept_log
from molnet.training.page import evaluation_page, write_page
from molnet.training.recorded import recorded_settings
from molnet.training.results import Results

log = logging.getLogger(__name__)


def evaluate(config: DictConfig, log_file: str | None = None) -> dict[str, Any]:
    """Compare a saved model with a data set as ``scripts/evaluate.py`` does.

    Args:
        config: the settings composed from ``conf/evaluate.yaml``.
        log_file: name of a file in ``run_folder`` for all that is logged.

    Returns:
        What ``metrics.json`` in ``run_folder`` holds: for the part that was compared and each
        quantity ``mae``, ``rmse``, ``count`` and ``unit``; versions.

    Raises:
        ConfigError: settings are unknown, missing or contradictory; the folder is used by another
            run, or holds the results of one.
        ValueError: the data or the model cannot be used; the message says what to do.
        OSError: a file cannot be read or written.
    """
    settings = checked_evaluate(config)
    folder = Path(settings.run_folder).absolute()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model = load_model(settings.model, settings.device)
    with kept_log() as write_log, claimed(folder):
        name, part, dataset = _part_to_compare(settings, model)
        if log_file is not None:
            write_log(folder / log_file)
        results = Results(model, folder, settings.by)
        results.add(name, part, in_order(part, dataset), in_full=True)
        metrics = results.write(model=str(Path(settings.model).absolute()), dataset=dataset.name)
        write_page(folder, lambda: evaluation_page(folder, metrics["model"], results, metrics))
        log.info("written to %s (report.html shows all of it in a browser)", folder)
    return metrics


def _part_to_compare(settings: EvaluateConfig, model: Model) -> tuple[str, GraphDataset, DataSet]:
    """Name and structures of the part, and the settings of the data set that it is of."""
    folder = Path(settings.model)
    # The saved model lies in model/ of the run's folder; either may be given.
    run_folder = folder if (folder / "model").is_dir() else folder.parent
    dataset = settings.dataset or _trained_on(run_folder)
    asked = dataset.labelled(list(model.properties))
    if not asked:
        raise ConfigError(
            f"the model predicts {', '.join(model.properties)}, and the data set {dataset.name} is "
            f"not known to have labels for any of these: {dataset.remedy}"
        )
    store = dataset.open(asked, model.properties)
    check_charges(store, model.config["heads"])
    name, indices = _part(settings.split, store, run_folder)
    labels = [label for label in model.properties if label in store.labels] or asked
    part = GraphDataset(store, indices, model.cutoff, labels, model.dtype)
    check_molecules(part, model.config["heads"])
    _check_column(part, settings.by)
    for charge, count in count_charges(part).items():
        if remark := model.total_charges.remark(charge):
            log.info("note: %d structures: %s", count, remark)
    if model.energy_is_relative:
        log.info("note: the model was trained on forces alone: energies are not compared")
    log.info(
        "%s: %s of %s structures (%s), labels %s",
        dataset.name,
        f"{len(part):,}",
        f"{len(store):,}",
        "all" if name == "all" else f"the {name} part of the model's run",
        ", ".join(f"{label} in {store.properties[label].unit}" for label in labels),
    )
    return name, part, dataset


def _check_column(part: GraphDataset, by: str | None) -> None:
    """Raise ConfigError where no structure has a value in the column."""
    if by is None or any(by in part.store.columns(int(index)) for index in part.indices):
        return
    found = {name for index in part.indices[:1000] for name in part.store.columns(int(index))}
    raise ConfigError(
        f"by={by}: no structure has this number or word in its info. Found: "
        f"{', '.join(sorted(found)) or 'none'}"
    )


def _trained_on(run_folder: Path) -> DataSet:
    recorded = run_folder / "config.yaml"
    choose = "Name labelled files, molnet evaluate MODEL FILE, or a data set, dataset=..."
    if not recorded.is_file():
        raise ConfigError(
            f"the data set that the model was trained on is not recorded: there is no {recorded}. "
            f"{choose}"
        )
    try:
        dataset = recorded_settings(recorded).get("dataset")
    except ConfigError as error:
        raise ConfigError(f"{error}. {choose}") from error
    if not isinstance(dataset, dict):
        raise ConfigError(f"{recorded} is damaged: it names no data set. {choose}")
    try:
        return checked_data_set(dataset)
    except ConfigError as error:
        raise ConfigError(f"{recorded}: {error}. {choose}") from error


def _part(split: str, store: ArrayStore, run_folder: Path) -> tuple[str, np.ndarray]:
    """Name and indices of the structures to compare with."""
    path = run_folder / "split.json"
    if split == "auto":
        is_the_same = path.is_file() and checksum_of_data(path) == store.checksum
        split = "test" if is_the_same else "all"
    if split == "all":
        return "all", np.arange(len(store))
    indices = load_split(path, len(store), store.checksum).parts[split]
    if len(indices) == 0:
        raise ConfigError(
            f"the {split} part of {path} is empty: choose another split, or split=all"
        )
    return split, indices
