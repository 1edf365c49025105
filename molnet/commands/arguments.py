"""What stands on a command line: flags, settings KEY=VALUE, and plain names of files."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from molnet.bundled import CONF
from molnet.training.errors import ConfigError, did_you_mean
from molnet.training.overrides import quoted

FLAGS = {
    "-h": False,
    "--help": False,
    "-m": False,
    "--multirun": False,
    "-cd": True,
    "--config-dir": True,
    "-c": True,
    "--cfg": True,
    "-p": True,
    "--package": True,
    "--resolve": False,
    "-i": False,
    "--info": False,
}
"""The flags of every command, and whether a value follows."""

SHOWN = ("--help", "--config-dir", "--multirun", "--cfg", "--package", "--resolve", "--info")


@dataclass
class Arguments:
    """The parts of a command line, each in the order in which they were typed."""

    files: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    @property
    def given(self) -> set[str]:
        """The keys of the settings."""
        return {setting.partition("=")[0].lstrip("+~") for setting in self.settings}


def settings_of(
    name: str,
    arguments: Sequence[str],
    as_settings: Callable[[list[str], set[str]], list[str]],
) -> list[str]:
    """A command line without plain names, which are translated into settings.

    Args:
        name: of the configuration, ``conf/NAME.yaml``.
        arguments: the command line without the names of program and command.
        as_settings: the settings that plain names stand for, given these and the keys that are set.

    Returns:
        Flags, then settings, with the translated ones first.

    Raises:
        ConfigError: an argument is none of the three.
    """
    known = known_keys(name)
    if any(argument in ("-h", "--help") for argument in arguments):  # with its topics
        arguments = [f"--help={a}" if a in known or a == "all" else a for a in arguments]
    parsed = parse(arguments, known)
    translated = as_settings(parsed.files, parsed.given) if parsed.files else []
    return [*parsed.flags, *translated, *parsed.settings]


def known_keys(name: str) -> set[str]:
    """The keys and groups of ``conf/NAME.yaml``."""
    conf: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    groups = {key for entry in conf["defaults"] if isinstance(entry, dict) for key in entry}
    return {key for key in {*conf, *groups} - {"defaults"} if not key.startswith("override ")}


def parse(arguments: Sequence[str], known: set[str]) -> Arguments:
    """Tell flags, settings and files apart.

    ``KEY=VALUE`` is a setting, unless there is a file of that name and the key is not known. After
    ``--`` all arguments are files.

    Args:
        arguments: the command line.
        known: the keys and groups of the command.

    Raises:
        ConfigError: a flag is unknown or lacks its value, or the name of a setting has no value.
    """
    parsed = Arguments()
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            parsed.files += rest
        elif argument.startswith("-"):
            parsed.flags += _flag(argument, rest, known)
        elif _is_setting(argument, known):
            parsed.settings.append(argument)
        elif argument in known and not Path(argument).exists():
            raise ConfigError(f"{argument} is a setting and needs a value: {argument}=VALUE")
        else:
            parsed.files.append(argument)
    return parsed


def as_list(files: Sequence[str]) -> str:
    """Names of files as a value on the command line."""
    names = ",".join(map(_as_text, files))
    return names if len(files) == 1 else f"[{names}]"


def _as_text(file: str) -> str:
    """A file's name as a value that is read as a text, even if it looks like a number."""
    is_plain = re.search(r"[a-zA-Z]", file) and "." in file
    return quoted(file) if is_plain else '"' + file.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_setting(argument: str, known: set[str]) -> bool:
    override = re.match(r"(\+\+?|~)?([a-zA-Z_]\w*)([\w./@-]*)(=|$)", argument)
    if argument.startswith("~"):  # it deletes a setting, or is in somebody's home
        return override is not None and override[2] in known
    if "=" not in argument:
        return False
    if override is None:
        # What begins like a path is a file, there or not; all else Hydra explains.
        return not (Path(argument).exists() or re.match(r"[^=]*/", argument))
    return override[2] in known | {"hydra"} or not Path(argument).exists()


def _flag(argument: str, rest: Any, known: set[str]) -> list[str]:
    flag, has_value, value = argument.partition("=")
    if flag not in FLAGS:
        word = flag.lstrip("-").replace("-", "_")
        if word.partition(".")[0] in known:
            raise ConfigError(
                f"unknown flag {argument}: settings are written without dashes, "
                f"{word}={value or next(rest, 'VALUE')}"
            )
        hint = did_you_mean(flag, SHOWN)
        raise ConfigError(
            f"unknown flag {argument}: {hint}{'' if hint.endswith('?') else '.'} A file of that "
            f"name is written as ./{argument}"
        )
    if not FLAGS[flag]:
        return [argument]  # --help has its topic
    if not has_value:
        value = next(rest, "")
    if not value:
        raise ConfigError(f"{flag} needs a value: {flag} VALUE")
    return [flag, value]
