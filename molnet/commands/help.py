"""What ``--help`` prints: the choices of every group, and the settings that follow from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from molnet.bundled import CONF

FLAGS = ("--help", "-h")

SET_BY_PROGRAM = ("run_folder",)
"""Keys that have another name on the command line, here hydra.run.dir."""


def help_text(name: str, config: DictConfig) -> str:
    """How the script of ``conf/NAME.yaml`` is called, and with which settings.

    Args:
        name: of the configuration.
        config: the settings as Hydra has composed them.
    """
    settings = _without_internal(OmegaConf.to_container(config))
    parts = [_usage(CONF / f"{name}.yaml")]
    if groups := _groups(name):
        width = max(map(len, groups))
        parts += [
            "Choices, GROUP=CHOICE (-m GROUP=A,B: each in a run of its own):",
            "\n".join(f"  {group:{width}}  {', '.join(groups[group])}" for group in groups),
        ]
    parts += [
        "Settings, KEY.KEY=VALUE, with the values that they have now:",
        "\n".join(f"  {line}" for line in OmegaConf.to_yaml(settings).splitlines()),
    ]
    return "\n\n".join(parts)


def _groups(name: str) -> dict[str, list[str]]:
    """The groups in which a configuration has a choice, with their options."""
    conf: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    names = [group for entry in conf["defaults"] if isinstance(entry, dict) for group in entry]
    loader = GlobalHydra.instance().config_loader()
    groups = {group: loader.get_group_options(group) for group in names if (CONF / group).is_dir()}
    return {group: options for group, options in groups.items() if len(options) > 1}


def _usage(file: Path) -> str:
    """The comment with which a configuration begins."""
    lines = file.read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("# ") for line in lines[:end])


def _without_internal(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        key: _without_internal(entry)
        for key, entry in value.items()
        if not str(key).startswith("_") and key not in SET_BY_PROGRAM
    }
