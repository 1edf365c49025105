"""Errors of a saved model on a data set.

    molnet evaluate MODEL [FILE...] [dataset=...] [split=test|all|...] [KEY=VALUE ...]

Without files or ``dataset`` the model is compared with the data set of its training.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from molnet.commands.importing import importing

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    with importing():
        from molnet.commands.arguments import settings_of
        from molnet.commands.command_line import run_command
        from molnet.commands.explained import explained

    with explained():
        given = sys.argv[1:] if arguments is None else arguments
        given = settings_of("evaluate", given, model_and_data)
    run_command("evaluate", evaluate, given)


def model_and_data(names: list[str], given: set[str]) -> list[str]:
    """The settings that plain names stand for: a model, and labelled structure files after it."""
    from molnet.commands.arguments import as_list
    from molnet.commands.train import data

    settings = []
    if "model" not in given:
        settings.append(f"model={as_list(names[:1])}")
        names = names[1:]
    return [*settings, *data(names, given)] if names else settings


def evaluate(config: "DictConfig") -> None:
    """Evaluate as the settings of ``conf/evaluate.yaml`` say."""
    from omegaconf import OmegaConf

    from molnet.training.errors import ConfigError

    if OmegaConf.is_missing(config, "model"):
        raise ConfigError("model is not set: molnet evaluate MODEL [FILE...]")
    with importing():
        from molnet.kernels.allocator import reuse_freed_memory
        from molnet.training.evaluate import evaluate

    reuse_freed_memory()
    evaluate(config, log_file="evaluate.log")
