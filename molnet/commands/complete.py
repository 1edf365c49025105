"""What may follow on a command line, for the Tab key: ``molnet complete SHELL LINE``.

Nothing heavy is loaded: settings and choices are read from ``conf/`` as they stand there.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from molnet.bundled import CONF, bundled_models

FLAGS = ("--help", "--config-dir", "--multirun")
VALUES = {
    "aggregation": ["root", "mean"],
    "cell": ["fixed", "volume", "hydrostatic", "full"],
    "device": ["cpu", "cuda", "mps"],
    "disorder": ["majority"],
    "dtype": ["float32", "float64"],
    "ensemble": ["langevin", "bussi", "nve", "npt"],
    "envelope": ["polynomial", "cosine"],
    "function": ["huber", "mse", "mae"],
    "matmul_precision": ["highest", "high"],
    "radial_basis": ["bessel", "gaussian"],
    "split": ["train", "validation", "test", "all"],
    "strategy": ["auto", "ddp"],
}
"""Settings with a few possible values, which ``conf/`` lists in comments only."""

SET_BY_PROGRAM = ("run_folder", "trial")
"""Settings that the program makes; run_folder is hydra.run.dir on the command line."""

FOLDERS = ("model", "resume", "hydra.run.dir")
"""Settings that name folders."""

SPECIAL = re.compile(r"([\s'\"\\$`&|;<>()*?\[\]{}!#])")


def main(arguments: Sequence[str]) -> None:
    """Print what may stand in the place of the last word of a line, one a line.

    Args:
        arguments: the shell (bash, zsh or fish), and the line up to the cursor. For bash, its
            ``COMP_WORDBREAKS`` may follow.
    """
    from molnet.commands.console import COMMANDS

    shell, line, *breaks = arguments
    words = _words(line)
    for found in sorted(set(candidates(words, list(COMMANDS)))):
        print(_as_shell_expects(found, shell, words[-1], "".join(breaks)))


def candidates(words: Sequence[str], commands: Sequence[str]) -> Iterator[str]:
    """All that the last word may become.

    What ends in ``=``, ``.`` or ``/`` goes on; all else is finished.

    Args:
        words: the program's name, and the words up to the cursor, of which the last is unfinished.
        commands: the names of all commands.
    """
    *before, word = words[1:]
    if not before:
        yield from _beginning_with(word, [*commands, "--help", "--version"])
        return
    name, *given = before
    if name == "completion":
        yield from _beginning_with(word, ["bash", "zsh", "fish"])
        return
    file = CONF / f"{name}.yaml"
    if not file.is_file():
        return
    conf = Configuration(file, given)
    if given and given[-1] in ("--config-dir", "-cd"):
        yield from _files(word, folders_only=True)
    elif word.startswith("-"):
        yield from _beginning_with(word, FLAGS)
    elif given and given[-1] in ("--help", "-h"):
        yield from _beginning_with(word, [*conf.groups, "all"] if conf.groups else [])
    elif "=" in word:
        yield from _values(word, conf)
    else:
        prefix = word[: len(word) - len(word.lstrip("+~"))]
        keys = (prefix + key for key in conf.keys(word.removeprefix(prefix)))
        yield from _beginning_with(word, keys)
        if not prefix:
            yield from _files(word)
            if "model" in conf.settings and not any("=" not in other for other in given):
                yield from _beginning_with(word, bundled_models())


class Configuration:
    """The settings and groups of a command, with those of the user's own folder.

    Args:
        file: ``conf/NAME.yaml``.
        given: the words on the command line so far.
    """

    def __init__(self, file: Path, given: Sequence[str]) -> None:
        self.folders = [CONF, *_config_folders(given)]
        self.given = [word.partition("=")[::2] for word in given if "=" in word]
        has_file = any("=" not in word and not word.startswith("-") for word in given)
        content = _read(file)
        self.settings = {k: v for k, v in content.items() if k not in ("defaults", "hydra")}
        for key in SET_BY_PROGRAM:
            self.settings.pop(key, None)
        entries = [entry for entry in content.get("defaults", []) if isinstance(entry, dict)]
        names = [group.removeprefix("override ") for entry in entries for group in entry]
        self.groups = {name: self._options(name) for name in names if (CONF / name).is_dir()}
        if has_file and "dataset" in self.groups:
            self.given.append(("dataset", "structures"))
        if "run" in content.get("hydra", {}) and content["hydra"]["run"]["dir"] != ".":
            self.settings["hydra.run.dir"] = None

    def keys(self, word: str) -> Iterator[str]:
        """Keys, down to the part that the word names."""
        for key in [*self.settings, *self.groups]:
            yield f"{key}="
        for group in self.groups:
            if "/" in group:
                continue  # its settings are those of Hydra
            if word == group:
                yield f"{group}."
            elif word.startswith(f"{group}."):
                yield from _below(self._chosen(group), group, word)

    def value(self, key: str) -> Any:
        """The value that ``conf/`` gives a setting; None where there is none."""
        first, *rest = key.split(".")
        node: Any = self._chosen(first) if first in self.groups else self.settings.get(first)
        for part in rest:
            node = node.get(part) if isinstance(node, Mapping) else None
        return node

    def _options(self, group: str) -> list[str]:
        return [file.stem for folder in self.folders for file in (folder / group).glob("*.yaml")]

    def _chosen(self, group: str) -> dict[str, Any]:
        """The settings of the option that is chosen for a group; else those of all its options."""
        chosen = [value for key, value in self.given if key == group][:1]
        settings: dict[str, Any] = {}
        for option in chosen if chosen and chosen[0] in self.groups[group] else self.groups[group]:
            # "???" is yet to be said, and no value that an option gives.
            own = self._option(group, option).items()
            settings |= {key: v for key, v in own if v != "???" or key not in settings}
        return settings

    def _option(self, group: str, option: str) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for folder in self.folders:
            file = folder / group / f"{option}.yaml"
            content = _read(file) if file.is_file() else {}
            for base in content.pop("defaults", []):
                if isinstance(base, str) and base not in ("_self_", option):
                    settings |= self._option(group, base)
            settings |= {key: value for key, value in content.items() if not key.startswith("_")}
        return settings


def _below(node: Mapping[str, Any], path: str, word: str) -> Iterator[str]:
    for key, value in node.items():
        name = f"{path}.{key}"
        if not isinstance(value, Mapping):
            yield f"{name}="
        elif word.startswith(f"{name}."):
            yield from _below(value, name, word)
        else:
            yield f"{name}."


def _values(word: str, conf: Configuration) -> Iterator[str]:
    """The word with each value that its key may have; files where nothing else is known."""
    key, _, value = word.partition("=")
    plain = key.lstrip("+~")
    choices = _choices(plain, conf)
    if choices is not None:
        yield from _beginning_with(word, (f"{key}={choice}" for choice in choices))
        return
    *_, begun = re.split(r"[\[,]", value)  # of a list, the last entry
    start = word.removesuffix(begun)
    names = [*bundled_models()] if plain == "model" else []
    found = [*_beginning_with(begun, names), *_files(begun, folders_only=plain in FOLDERS)]
    yield from (start + name for name in found)


def _choices(key: str, conf: Configuration) -> list[str] | None:
    """All values that a setting may have; None where files and folders are among them."""
    last = key.rpartition(".")[2]
    if key in conf.groups:
        return conf.groups[key]
    if last in VALUES and key != "dataset.split":
        return VALUES[last]
    value = conf.value(key)
    if isinstance(value, bool):
        return ["true", "false"]
    return [] if isinstance(value, int | float) else None


def _files(word: str, folders_only: bool = False) -> Iterator[str]:
    """Files and folders whose name begins with a word; folders end in a slash."""
    folder, slash, name = word.rpartition("/")
    try:
        entries = list(os.scandir(os.path.expanduser(folder + slash) or "."))
    except OSError:
        return
    for entry in entries:
        is_hidden = entry.name.startswith(".") and not name.startswith(".")
        if is_hidden or not entry.name.startswith(name):
            continue
        if entry.is_dir():
            yield f"{folder}{slash}{entry.name}/"
        elif not folders_only:
            yield f"{folder}{slash}{entry.name}"


def _config_folders(given: Sequence[str]) -> list[Path]:
    folders = [w.partition("=")[2] for w in given if w.startswith("--config-dir=")]
    folders += [value for flag, value in pairwise(given) if flag in ("--config-dir", "-cd")]
    return [Path(folder).expanduser() for folder in folders if folder]


def _beginning_with(word: str, names: Any) -> Iterator[str]:
    return (name for name in names if name.startswith(word))


def _read(file: Path) -> dict[str, Any]:
    """A YAML file; nothing of a file of the user's that is no such file."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _words(line: str) -> list[str]:
    """The words of a line, of which the last may be empty, or in quotes that are still open."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        begins_new = not closing and re.search(r"(?<!\\)\s$", line)
        return [*words, ""] if begins_new else words
    return line.split()


def _as_shell_expects(found: str, shell: str, word: str, breaks: str) -> str:
    """A candidate with the space that ends it, and in the way in which the shell quotes it."""
    if shell == "fish":
        return found  # adds quotes and space
    end = "" if found.endswith(("=", ".", "/")) else " "
    if shell == "bash":  # replaces what stands behind the last of these characters
        start = max(
            (word.rfind(character) for character in breaks if not character.isspace()), default=-1
        )
        found = found[start + 1 :]
    return SPECIAL.sub(r"\\\1", found) + end
