"""From the command line to a command's settings: Hydra's grammar, and plain names of files."""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from molnet.bundled import CONF, PLUGINS
from molnet.commands.explained import explained, explanation, one_line
from molnet.commands.help import FLAGS, help_text
from molnet.training.errors import ConfigError
from molnet.training.folder import discard_empty_folders
from molnet.training.overrides import readable

Task = Callable[[DictConfig], object]


def run_command(
    name: str,
    task: Task,
    arguments: Sequence[str],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Compose the settings from ``conf/NAME.yaml`` and the command line, and run ``task``.

    Args:
        name: of the configuration.
        task: what the command does; called once, or for every member of a sweep (``-m``).
        arguments: flags and settings, see :func:`molnet.commands.arguments.settings_of`.
        settings: replace ``conf/NAME.yaml`` and its defaults.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra hands errors on
    with explained(wants_traceback):
        arguments = [readable(argument) for argument in arguments]
        values, arguments = _plain_values(name, arguments)
    asked = [a for a in arguments if a.startswith(FLAGS)]
    wants_help, topics = bool(asked), [a.partition("=")[2] for a in asked if "=" in a]
    if wants_help:
        arguments = [a for a in arguments if a not in (*asked, "-m", "--multirun")]
        arguments.append("hydra.run.dir=.")  # so that no folder is made
    sys.argv[1:] = arguments
    primary = name
    if settings is not None:
        primary = f"resumed_{name}"
        ConfigStore.instance().store(primary, settings)

    _tell_hydra_of_sweepers()
    composed, text = False, None

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=primary)
    def job(config: DictConfig) -> object:
        nonlocal composed, text
        composed = True
        with explained(wants_traceback):
            config.merge_with(values)
            if not wants_help:
                _tell_closed_pipes()
                return task(config)
            text = help_text(name, config, topics)
        return None

    try:
        with explained(wants_traceback):
            try:
                job()
            except (AttributeError, TypeError, ValueError) as error:
                # A launcher may have run the trainings of a sweep in other processes.
                if composed or explanation(error) is not None:
                    raise
                # Hydra trips over some command lines that its grammar lets pass.
                raise ConfigError(
                    f"cannot read {shlex.join(arguments)}: {one_line(error)}"
                ) from error
    finally:
        discard_empty_folders()
    if text is not None:
        print(text)


def _tell_hydra_of_sweepers() -> None:
    """Hydra looks for plugins once in a process, perhaps before this one."""
    if str(PLUGINS) in sys.path:
        return
    sys.path.append(str(PLUGINS))
    from hydra_plugins.molnet_sweepers import GridSweeper, OptunaSweeper

    for sweeper in GridSweeper, OptunaSweeper:
        Plugins.instance().register(sweeper)


def _tell_closed_pipes() -> None:
    """Lets a closed pipe end the command, where logging would report an error and go on."""
    for handler in logging.getLogger().handlers:
        handler.handleError = partial(_handle_error, handler)  # type: ignore[method-assign]


def _handle_error(handler: logging.Handler, record: logging.LogRecord) -> None:
    if isinstance(sys.exc_info()[1], BrokenPipeError):
        raise
    logging.Handler.handleError(handler, record)


def _plain_values(name: str, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Split off ``model=FOLDER``, which Hydra would read as a choice from the group conf/model.

    A key of ``conf/NAME.yaml`` is a plain value, even if it is a group of another command.

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
