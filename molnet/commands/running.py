"""How a command on files runs: plain names become settings, then Hydra composes them all."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from molnet.commands.importing import importing

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_on_files(
    name: str,
    task: Callable[["DictConfig"], object],
    arguments: Sequence[str] | None,
    as_settings: Callable[[list[str], set[str]], list[str]],
) -> None:
    """Run a command.

    Args:
        name: of the command and of its configuration, ``conf/NAME.yaml``.
        task: what it does.
        arguments: the command line without the names of program and command; None: the process's
            own.
        as_settings: see :func:`molnet.commands.arguments.settings_of`.
    """
    with importing():
        from omegaconf import OmegaConf

        from molnet.commands.arguments import settings_of
        from molnet.commands.command_line import run_command
        from molnet.commands.explained import explained
        from molnet.training.errors import ConfigError

    def on_files(config: "DictConfig") -> None:
        if OmegaConf.is_missing(config, "input"):
            raise ConfigError(f"input is not set: molnet {name} FILE")
        task(config)

    with explained():
        given = settings_of(name, sys.argv[1:] if arguments is None else arguments, as_settings)
    run_command(name, on_files, given)
