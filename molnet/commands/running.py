"""How a command on files runs: plain names become settings, then Hydra composes them all."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from molnet.commands.importing import importing

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from molnet.models import Model


class Opened(NamedTuple):
    """What a command starts from."""

    model: "Model"
    input: Any
    output: str | None


def opened(settings: Any) -> Opened:
    """The model, the files and the output that the settings of a command name.

    Args:
        settings: checked, with ``model``, ``device``, ``dtype``, ``input`` and ``output``.
    """
    from molnet.graph.frames import resolve_paths
    from molnet.kernels.allocator import reuse_freed_memory
    from molnet.models import load_model
    from molnet.training.paths import file_name, file_names, model_folder

    input = file_names("input", settings.input)
    resolve_paths(input)  # a missing file is told before the model is loaded
    reuse_freed_memory()
    model = load_model(model_folder("model", settings.model), settings.device, settings.dtype)
    output = None if settings.output is None else file_name("output", settings.output)
    return Opened(model, input, output)


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
