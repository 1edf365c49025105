"""Errors of a saved model on a data set.

    molnet evaluate MODEL [FILE...] [dataset=...] [split=test|all|...] [KEY=VALUE ...]

Without files or ``dataset`` the model is compared with the data set of its training.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from molnet.commands.importing import importing
from molnet.commands.running import run_on_files

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    run_on_files("evaluate", evaluate, arguments, model_and_data)


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
