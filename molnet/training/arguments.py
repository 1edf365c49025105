"""The command line of a run: what is kept of it, and one that resumes a run."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from molnet.bundled import CONF
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import ConfigError
from molnet.training.folder import is_in_use
from molnet.training.overrides import quoted, readable
from molnet.training.paths import located
from molnet.training.recorded import recorded_settings
from molnet.training.results import METRICS
from molnet.training.resume import AUTO, OF_THE_FOLDER, checkpoint_path

log = logging.getLogger(__name__)


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
