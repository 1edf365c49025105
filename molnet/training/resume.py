"""Resuming an interrupted run."""

import logging
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from molnet.bundled import CONF
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import ConfigError, TrainConfig
from molnet.training.durations import parse_duration
from molnet.training.folder import is_in_use
from molnet.training.overrides import quoted, readable
from molnet.training.paths import file_name, located
from molnet.training.recorded import leaves, recorded_settings
from molnet.training.results import METRICS, read_metrics

log = logging.getLogger(__name__)

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


def resumed_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any] | None]:
    """Translate a command line with ``resume=`` into arguments for Hydra.

    ``resume=PATH``, a checkpoint or the folder of a run, continues in the run's own folder with the
    settings in the checkpoint; other arguments change these settings. ``resume=auto`` continues the
    run in ``hydra.run.dir=FOLDER`` or, without that, the newest unfinished run of the same command
    line in the default folders.

    Returns:
        The arguments for Hydra, and the settings that they change; None for those in ``conf/``.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        CheckpointError: the checkpoint is damaged.
    """
    given = {argument.split("=", 1)[0].lstrip("+~"): argument for argument in arguments}
    value = _value(given.get("resume", "resume=null"))
    in_a_folder_of_its_own = given.keys() & {"hydra.run.dir", "hydra.sweep.dir", "-m", "--multirun"}
    if value is None:
        return list(arguments), None
    if value == AUTO:
        found = None if in_a_folder_of_its_own else _unfinished(arguments)
        return [*arguments, *([] if found is None else [_in_folder(found)])], None
    checkpoint = checkpoint_path(located(value)).absolute()
    kept = [argument for argument in arguments if argument != given["resume"]]
    kept.append(f"resume={quoted(str(checkpoint))}")
    if not in_a_folder_of_its_own and checkpoint.parent.name == "checkpoints":
        kept.append(_in_folder(checkpoint.parents[1]))
    return kept, _primary_config(read_checkpoint(checkpoint)["config"], given.keys())


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


def given_arguments(arguments: Sequence[str] | None = None) -> list[str]:
    """The command line of this run without ``resume``; by default as Hydra was given it."""
    if arguments is None:
        arguments = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return _settings_among(arguments)


def _settings_among(arguments: Sequence[str]) -> list[str]:
    return [
        argument
        for argument in arguments
        if not argument.startswith(("resume=", "trial=", "hydra", "-"))
    ]


def _unfinished(arguments: Sequence[str]) -> Path | None:
    """The newest unfinished run of this command line in the default folders."""
    ours = [readable(argument) for argument in _settings_among(arguments)]
    for last in sorted(_checkpoints(), key=lambda path: path.stat().st_mtime, reverse=True):
        folder = last.parents[1]
        is_ours = _recorded_arguments(folder / "config.yaml") == ours
        if is_ours and not (folder / METRICS).exists() and not is_in_use(folder):
            return folder
    return None


def _recorded_arguments(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    try:
        return recorded_settings(path).get("arguments")
    except ConfigError as error:
        log.warning("%s. This run is skipped.", error)
        return None


def _checkpoints() -> Iterator[Path]:
    """The checkpoints of all runs in the default folders of ``conf/train.yaml``."""
    conf: Any = OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml"))
    place = re.sub(r"\$\{new_folder:(.*)\}$", r"\1", conf["hydra"]["run"]["dir"])
    return Path.cwd().glob(re.sub(r"\$\{[^}]*\}", "*", place) + "/checkpoints/last.ckpt")


def _primary_config(recorded: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The settings of a checkpoint in the form of ``conf/train.yaml``, with all groups optional.

    A group that the command line gives replaces the recorded group as a whole.
    """
    conf: Any = OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml"))
    groups = [entry for entry in conf["defaults"] if isinstance(entry, dict)]
    anew = {key for entry in groups for key in entry} & {*given}
    own = (*OF_THE_FOLDER, "dataset_checksum", *anew)
    settings = {key: value for key, value in recorded.items() if key not in own}
    if "logger" not in given:
        settings["logger"] = _moved(recorded["logger"], str(recorded["run_folder"]))
    chosen = [
        entry if key.startswith("override ") else {key: None} for entry in groups for key in entry
    ]
    rest = {key: conf[key] for key in ("resume", "trial", "run_folder", "hydra")}
    return {**settings, **rest, "defaults": ["_self_", *chosen]}


def _moved(value: Any, folder: str) -> Any:
    """Settings in which ``folder``, the old place of the run, is replaced by its present one."""
    if isinstance(value, Mapping):
        return {key: _moved(entry, folder) for key, entry in value.items()}
    if isinstance(value, str) and (value == folder or value.startswith(f"{folder}/")):
        return "${run_folder}" + value.removeprefix(folder)
    return value


def _value(argument: str) -> Any:
    value = OverridesParser.create().parse_override(readable(argument)).value()
    return None if value in (None, "") else str(value)


def _in_folder(folder: Path) -> str:
    return f"hydra.run.dir={quoted(str(folder))}"


def _belongs(key: str, groups: Sequence[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)
