"""What ``--help`` prints: the settings of a command in the words of the comments in ``conf/``."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from molnet.bundled import CONF
from molnet.commands.complete import SET_BY_PROGRAM
from molnet.training.errors import ConfigError, did_you_mean

FLAGS = ("--help", "-h")
ALL = "all"
"""The topic of everything."""

WIDTH = 80
INDENT = 18


def help_text(name: str, config: DictConfig, topics: list[str]) -> str:
    """How a command is called, and with which settings.

    Args:
        name: of the configuration, ``conf/NAME.yaml``.
        config: the settings as Hydra has composed them.
        topics: groups to explain; ``all`` for every group.

    Raises:
        ConfigError: there is no such group.
    """
    settings: Any = OmegaConf.to_container(config)
    groups = _groups(name)
    if unknown := [topic for topic in topics if topic not in (*groups, ALL)]:
        raise ConfigError(f"no help on {unknown[0]}: {did_you_mean(unknown[0], [*groups, ALL])}")
    if topics and ALL not in topics:
        return "\n\n".join(_about(group, groups[group], settings) for group in topics)
    file = CONF / f"{name}.yaml"
    comments = comments_of(file)
    parts = [
        _usage(file),
        _table({key: settings[key] for key in comments if _is_shown(key, settings)}, comments),
    ]
    if groups:
        rows = {
            group: (f"{comments.get(group, '')} " + ", ".join(options)).strip()
            for group, options in groups.items()
        }
        parts.append("Choices, GROUP=CHOICE:\n\n" + "\n".join(_row(*row) for row in rows.items()))
        if ALL in topics:
            parts += [_about(group, groups[group], settings) for group in groups]
        else:
            parts.append(
                f"molnet {name} --help GROUP explains a group, --help {ALL} all of them.\n"
                "-m KEY=A,B runs each value in turn, --config-dir FOLDER adds your own choices."
            )
    return "\n\n".join(parts)


def comments_of(file: Path) -> dict[str, str]:
    """The comment above, or behind, each key of the outermost level of a YAML file."""
    comments: dict[str, str] = {}
    above: list[str] = []
    for line in file.read_text().splitlines():
        if line.startswith("#"):
            above.append(line.lstrip("# "))
        elif not line.strip():
            above = []
        elif entry := re.match(r"(?:  - )?(\w+):(?:.*?\s# (.*))?", line):
            comments[entry[1]] = " ".join([*above, *filter(None, [entry[2]])])
            above = []
    return comments


def _about(group: str, options: list[str], settings: Mapping[str, Any]) -> str:
    """The options of a group, and its settings as they are now."""
    comments: dict[str, str] = {}
    for file in sorted((CONF / group).glob("*.yaml")):
        comments |= {key: text for key, text in comments_of(file).items() if text}
    lines = [f"{group}={'|'.join(options)}"]
    values = settings.get(group)
    if isinstance(values, Mapping):
        shown = {key: value for key, value in values.items() if not str(key).startswith("_")}
        lines.append(_table(shown, comments, f"{group}."))
    return "\n\n".join(lines)


def _table(values: Mapping[Any, Any], comments: Mapping[str, str], prefix: str = "") -> str:
    return "\n".join(
        _row(f"{prefix}{key}={_typed(value)}", comments.get(str(key), ""))
        for key, value in values.items()
    )


def _row(left: str, right: str) -> str:
    """A setting and what it means, in the columns of a terminal."""
    words = textwrap.wrap(right, WIDTH - INDENT - 2)
    if len(left) > INDENT - 2:
        return "\n".join([f"  {left}", *(f"{'':{INDENT + 2}}{line}" for line in words)])
    first, *rest = words or [""]
    return "\n".join(
        [f"  {left:{INDENT}}{first}".rstrip(), *(f"{'':{INDENT + 2}}{w}" for w in rest)]
    )


def _typed(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_typed(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_typed, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else "..." if value == "???" else str(value)


def _is_shown(key: str, settings: Mapping[Any, Any]) -> bool:
    return (key in settings and key not in SET_BY_PROGRAM and not (CONF / key).is_dir()) or (
        key == "model" and isinstance(settings.get(key), str)
    )


def _groups(name: str) -> dict[str, list[str]]:
    """The groups of a configuration, with their options."""
    conf: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    names = [group for entry in conf["defaults"] if isinstance(entry, dict) for group in entry]
    loader = GlobalHydra.instance().config_loader()
    return {group: loader.get_group_options(group) for group in names if (CONF / group).is_dir()}


def _usage(file: Path) -> str:
    """The comment with which a configuration begins."""
    return "\n".join(_first_lines(file))


def _first_lines(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("# ")
