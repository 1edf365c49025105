"""Resuming an interrupted run: which checkpoint, and whether it belongs to the settings."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import ConfigError, TrainConfig
from molnet.training.durations import parse_duration
from molnet.training.paths import file_name
from molnet.training.recorded import leaves
from molnet.training.results import read_metrics

AUTO = "auto"

FIXED = (
    "dataset._target_",
    "dataset.train_size",
    "dataset.validation_size",
    "dataset.test_size",
    "dataset.split_seed",
    "dataset.split",
    "dataset.batch_size",
    "dataset.max_atoms",
    "dataset.max_edges",
    "dataset.isolated_atoms",
    "dataset_checksum",
    "target",
    "model",
    "optimizer._target_",
    "trainer.accumulate",
    "trainer.dtype",
    "seed",
    "finetune",
)
"""Settings, or groups of settings, that must not change when a run is resumed."""

OF_THE_FOLDER = ("resume", "run_folder", "arguments", "logger", "trial")
"""Recorded settings that belong to the folder, and may change when a run is resumed."""


def checkpoint_path(path: str | Path) -> Path:
    """The checkpoint that ``path`` names: itself, or the last one of a run's folder.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path)
    last = path / "checkpoints" / "last.ckpt"
    if path.is_dir() and last.is_file():
        return last
    if not path.is_file():
        there = "no checkpoint in this folder" if path.is_dir() else "no such checkpoint"
        raise FileNotFoundError(
            f"resume={path}: {there}. Give the folder of a run; its state is in "
            "checkpoints/last.ckpt from the end of the first epoch on"
        )
    return path


def check_resumable(path: Path, config: Mapping[str, Any]) -> list[str]:
    """Compare the settings of a run with those in the checkpoint that it resumes.

    Args:
        path: the checkpoint.
        config: the run's settings as plain values; ``dataset_checksum`` is compared if it is there.

    Returns:
        The changed settings, as ``"KEY: OLD -> NEW"``.

    Raises:
        CheckpointError: the checkpoint is damaged.
        ConfigError: a setting has changed that must not (:data:`FIXED`).
    """
    before, now = dict(leaves(read_checkpoint(path)["config"])), dict(leaves(config))
    before.setdefault("trainer.accumulate", now.get("trainer.accumulate"))  # of older runs
    if "dataset_checksum" not in now:
        before.pop("dataset_checksum", None)
    changed = {
        key: f"{key}: {before.get(key)} -> {now.get(key)}"
        for key in sorted(before | now)
        if before.get(key) != now.get(key) and not _belongs(key, OF_THE_FOLDER)
    }
    forbidden = [change for key, change in changed.items() if _belongs(key, FIXED)]
    if forbidden:
        raise ConfigError(
            f"{path} belongs to a run with other settings: {'; '.join(forbidden)}. Resume with "
            "the old settings, or start a new run."
        )
    return list(changed.values())


def check_groups(path: Path, groups: Sequence[Mapping[str, Any]]) -> None:
    """Check that the optimizer's state of a checkpoint is for these groups of parameters.

    Args:
        path: the checkpoint.
        groups: of the run's optimizer.

    Raises:
        CheckpointError: the checkpoint is damaged.
        ConfigError: it is of a version of molnet that groups parameters in another way.
    """
    (state,) = read_checkpoint(path)["optimizer_states"]
    before, now = ([len(g["params"]) for g in each] for each in (state["param_groups"], groups))
    if before != now:
        raise ConfigError(
            f"{path}: the checkpoint of another version of molnet, whose optimizer has groups of "
            f"{before} parameters, where this version has {now}. Resume with that version, or "
            f"start a new run from its best model: finetune={path.parents[1]} model=parent"
        )


def checkpoint_of(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint that a run in ``folder`` resumes; None for a new run.

    Raises:
        FileNotFoundError: there is no checkpoint, and ``resume`` is not ``auto``.
        ConfigError: ``resume`` is empty.
    """
    if resume is None:
        return None
    if resume == AUTO:
        last = folder / "checkpoints" / "last.ckpt"
        return last if last.is_file() else None
    return checkpoint_path(file_name("resume", resume)).absolute()


def copy_best(checkpoint: Path, folder: Path) -> None:
    """Copy the best model so far if the run is resumed in another folder."""
    source = checkpoint.parents[1]
    if folder == source:
        return
    if (source / "model").is_dir():
        shutil.copytree(source / "model", folder / "model")
    if (source / "checkpoints" / "best.ckpt").is_file():
        shutil.copyfile(source / "checkpoints" / "best.ckpt", folder / "checkpoints" / "best.ckpt")


def finished(folder: Path, checkpoint: Path, settings: TrainConfig) -> dict[str, Any] | None:
    """The metrics of a finished run: a limit is reached, and the results are written.

    Args:
        folder: of the run.
        checkpoint: the last one of the run.
        settings: with the limits of the resumed run.

    Returns:
        The content of ``metrics.json``; None for a run that is not finished.
    """
    state, metrics = read_checkpoint(checkpoint), read_metrics(folder)
    callbacks = state.get("callbacks", {})
    epochs = len(callbacks.get("History", {}).get("rows", []))
    if metrics is None or metrics.get("epochs") != epochs:
        return None
    limits = settings.trainer
    seconds = None if limits.max_time is None else parse_duration(limits.max_time)
    used: list[tuple[float, float | None]] = [
        (epochs, limits.max_epochs),
        (state["global_step"], limits.max_steps),
        (callbacks["Budget"]["seconds"], seconds),
        (_waited(callbacks), settings.callbacks.early_stopping_patience),
    ]
    ended = any(limit is not None and amount >= limit for amount, limit in used)
    return metrics if ended else None


def _waited(callbacks: Mapping[str, Any]) -> int:
    """Epochs without an improvement, as early stopping has counted them; otherwise 0."""
    return max((s["wait_count"] for s in callbacks.values() if "wait_count" in s), default=0)


def _belongs(key: str, groups: Sequence[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)
