"""Going on with a run that was interrupted."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from molnet.training.command_line import quoted
from molnet.training.config import ConfigError

FIXED = (
    "dataset.kind",
    "dataset.train_size",
    "dataset.validation_size",
    "dataset.test_size",
    "dataset.split_seed",
    "dataset.batch_size",
    "dataset.max_atoms",
    "dataset.max_edges",
    "dataset_checksum",
    "target",
    "model",
    "optimizer._target_",
    "trainer.dtype",
    "seed",
)
"""Settings, or groups of them, that a resumed run shares with the one that it goes on from."""


def resumed_arguments(arguments: Sequence[str]) -> list[str]:
    """Complete ``resume=PATH`` on a command line by the command line of that run.

    The run goes on in its own folder and with its own settings; what the command line gives
    besides ``resume`` replaces them. Nothing changes without ``resume``, or where PATH does not lie
    in a run's folder: then all settings must be given again.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    given = {argument.split("=", 1)[0].lstrip("+~"): argument for argument in arguments}
    value = given.get("resume", "resume=").split("=", 1)[1].strip("'\"")
    if value in ("", "null"):
        return list(arguments)
    run_folder = checkpoint_path(value).absolute().parents[1]
    recorded = run_folder / ".hydra" / "overrides.yaml"
    if not recorded.is_file():
        return list(arguments)
    kept = [
        override
        for override in map(str, OmegaConf.load(recorded))
        if override.split("=", 1)[0].lstrip("+~") not in given
    ]
    if "hydra.run.dir" not in given:
        kept.append(f"hydra.run.dir={quoted(str(run_folder))}")
    return [*kept, *arguments]


def checkpoint_path(path: str | Path) -> Path:
    """``path``, if there is a file.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"resume={path}: no such checkpoint. A run keeps its own in checkpoints/last.ckpt"
        )
    return path


def check_resumable(path: Path, config: Mapping[str, Any]) -> list[str]:
    """Compare the settings of a run with those in the checkpoint that it goes on from.

    Args:
        path: the checkpoint.
        config: the run's settings as plain values.

    Returns:
        Settings that have changed and may, as ``"KEY: OLD -> NEW"``.

    Raises:
        ConfigError: settings have changed that must not.
    """
    # Nothing but plain values and tensors is loaded, so that a checkpoint cannot run code.
    recorded = torch.load(path, map_location="cpu", weights_only=True)["config"]
    before, now = dict(_leaves(recorded)), dict(_leaves(config))
    changed = {
        key: f"{key}: {before.get(key)} -> {now.get(key)}"
        for key in sorted(before | now)
        if before.get(key) != now.get(key) and key not in ("resume", "run_folder")
    }
    forbidden = [
        change
        for key, change in changed.items()
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED)
    ]
    if forbidden:
        raise ConfigError(
            f"{path} belongs to a run with other settings: {'; '.join(forbidden)}. Resume with "
            "the same ones, or start a new run."
        )
    return list(changed.values())


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
