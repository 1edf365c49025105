"""The command line of the scripts: Hydra's, with errors that say what to do.

A user's mistake ends a script with one message and exit status 1, Ctrl-C with status 130, SIGTERM
with 143. A bug in the program shows a traceback. ``HYDRA_FULL_ERROR=1`` shows every traceback.
"""

import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from molnet.training.config import CONF
from molnet.training.errors import ConfigError, did_you_mean
from molnet.training.folder import discard_empty_folders
from molnet.training.help import FLAGS, help_text
from molnet.training.interruption import (
    ends_at_once,
    number_of,
    raised_as_exceptions,
    word_for,
)


def run_script(
    name: str,
    task: Callable[[DictConfig], object],
    arguments: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Compose the settings from ``conf/NAME.yaml`` and the command line, and run ``task``.

    Args:
        name: of the configuration.
        task: what the script does; called once, or for every member of a sweep (``-m``).
        arguments: the command line without the program's name; by default the process's own.
        settings: replace ``conf/NAME.yaml`` and its defaults.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands errors on
    with explained(wants_traceback):
        arguments = [readable(argument) for argument in arguments]
        values, arguments = _plain_values(name, arguments)
    wants_help = any(flag in arguments for flag in FLAGS)
    if wants_help:
        arguments = [a for a in arguments if a not in (*FLAGS, "-m", "--multirun")]
        arguments.append("hydra.run.dir=.")  # so that no folder is made
    sys.argv[1:] = arguments
    primary = name
    if settings is not None:
        primary = f"resumed_{name}"
        ConfigStore.instance().store(primary, settings)

    composed = False

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=primary)
    def job(config: DictConfig) -> None:
        nonlocal composed
        composed = True
        with explained(wants_traceback):
            config.merge_with(values)
            if wants_help:
                print(help_text(name, config))
                return
            # Imported here, so that mistakes above are told before torch is loaded.
            with ends_at_once():
                from molnet.kernels.allocator import reuse_freed_memory

            reuse_freed_memory()
            task(config)

    try:
        with explained(wants_traceback):
            try:
                job()
            except (AttributeError, TypeError, ValueError) as error:
                if composed:
                    raise
                # Hydra trips over some command lines that its grammar lets pass.
                raise ConfigError(
                    f"cannot read {shlex.join(arguments)}: {_one_line(error)}"
                ) from error
    finally:
        discard_empty_folders()


def readable(argument: str) -> str:
    """Quote a value that Hydra's grammar cannot read as it stands, such as a unit or a path.

    >>> readable("dataset.labels.forces.unit=eV/Å")
    'dataset.labels.forces.unit="eV/Å"'
    >>> readable("model.cutoff=4,5,6")
    'model.cutoff=4,5,6'
    >>> readable("+dataset.labels.mu={key: mu, unit: e*Å}")
    '+dataset.labels.mu={key: mu, unit: "e*Å"}'
    """
    key, is_override, value = argument.partition("=")
    if not is_override or key.startswith("-"):
        return argument
    entries = _ENTRY.sub(lambda entry: entry[1] + quoted(entry[2].rstrip()), value)
    for candidate in (argument, f"{key}={entries}"):
        try:
            OverridesParser.create().parse_override(candidate)
        except HydraException:
            continue
        return candidate
    return f"{key}={quoted(value)}"


_ENTRY = re.compile(r"([{,]\s*[\w.]+\s*:\s*)([^\s,{}\[\]\"'][^,{}\[\]\"']*)")
"""A name and an unquoted value within the braces of an object."""


def quoted(text: str) -> str:
    """``text`` as a value on the command line that Hydra reads back unchanged.

    >>> quoted("outputs/a-1/last.ckpt")
    'outputs/a-1/last.ckpt'
    >>> quoted("my runs/k=1/last.ckpt")
    '"my runs/k=1/last.ckpt"'
    """
    if re.fullmatch(r"[a-zA-Z0-9_./:+-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain_values(name: str, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Split off ``model=FOLDER``, which Hydra would read as a choice from the group conf/model.

    A key of ``conf/NAME.yaml`` is a plain value, even if it is a group of another script.

    Raises:
        ConfigError: the value for a group cannot be the name of an option.
    """
    conf: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    values: dict[str, Any] = {}
    others = []
    for argument in arguments:
        key = argument.partition("=")[0]
        if not key or not (CONF / key).is_dir() or "=" not in argument:
            others.append(argument)
            continue
        override = OverridesParser.create().parse_override(argument)
        if key not in conf:
            if override.value() is None and {key: None} in conf["defaults"]:
                continue  # as it is by default
            _check_option(key, override)
            others.append(argument)
        elif override.is_sweep_override():
            raise ConfigError(
                f"{argument}: expected one name. If it holds a comma, quote it: '{key}=\"A,B\"'"
            )
        else:
            value = override.value()
            values[key] = str(value) if isinstance(value, int | float | str) else value
    return values, others


def _check_option(group: str, override: Override) -> None:
    if not override.is_sweep_override() and not isinstance(override.value(), str):
        raise ConfigError(
            f"{override.input_line}: expected the name of an option, "
            f"{group}={'|'.join(_options(group))}"
        )


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@contextmanager
def explained(wants_traceback: bool = False) -> Iterator[None]:
    """Within this block a user's mistake ends the process with a message and status 1."""
    try:
        with raised_as_exceptions():
            yield
    except KeyboardInterrupt as interruption:
        number = number_of(interruption)
        print(f"\n{word_for(number)}.", file=sys.stderr)
        sys.exit(128 + number)
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        message = explanation(error)
        if wants_traceback or message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


def explanation(error: Exception) -> str | None:
    """The message for the user; None for an error that is a bug in the program."""
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read {error.override!r} on the command line: "
            f"{str(error).splitlines()[0]}. Expected KEY=VALUE"
        )
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, ConfigCompositionException):
        cause = error.__cause__
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
            try:
                return _unknown_option(str(cause.full_key), cause.parent_node)
            except ConfigError as other:
                return str(other)  # the settings name no data set
        return _one_line(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _one_line(error)
    if isinstance(error, OSError) or _raised_by_package(error):
        return str(error)
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _raised_by_package(error: Exception) -> bool:
    """Whether molnet itself raised the error, rather than a library that it had called.

    An error of one of molnet's own kinds counts wherever it was raised, such as in a data set of
    the user's own.
    """
    if type(error).__module__.startswith("molnet."):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("molnet.")


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return str(error).splitlines()[0]
    return f"unknown option {group}={choice}: {did_you_mean(choice, error.options)}"


def _unknown_option(key: str, node: Any) -> str:
    """Name the known key nearest to ``key``: the same word elsewhere, or a similar one.

    Args:
        key: what the user gave.
        node: the part of the settings that does not know it.
    """
    config = node._get_root()
    known = sorted(other for other in _keys(config) if other.partition(".")[0] != "hydra")
    parent, _, word = key.rpartition(".")
    if parent == "dataset" and "dataset._target_" in known:
        options = _options_of_class(config.dataset._target_)
        if word in options:
            return f"the file of the data set does not set {word}: give +{key}=VALUE, or add it"
        known += [f"dataset.{option}" for option in options]
    elsewhere = [other for other in known if other.rpartition(".")[2] == word]
    if elsewhere:
        return f"unknown option {key}: did you mean {' or '.join(elsewhere)}?"
    while parent and parent not in known:  # the mistake is further up
        key, (parent, _, _) = parent, parent.rpartition(".")
    siblings = [other for other in known if other.rpartition(".")[0] == parent]
    return f"unknown option {key}: {did_you_mean(key, siblings)}"


def _options_of_class(target: Any) -> list[str]:
    """Options of a data set's class, which the user's own file of a data set may leave out."""
    if str(target).startswith("molnet."):
        return []  # conf/dataset sets all of them
    from molnet.training.data_set_settings import options_of_class

    return options_of_class(target)


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _keys(child, f"{prefix}{key}.")
