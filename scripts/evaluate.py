"""Errors of a saved model on a data set.

    python scripts/evaluate.py model=FOLDER [dataset=...] [split=test|all|...] [KEY=VALUE ...]

Without ``dataset`` the model is compared with the data set of its training. ``--help`` lists the
options.
"""

from typing import TYPE_CHECKING

from molnet.training.interruption import ends_at_once

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(config: "DictConfig") -> None:
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    with ends_at_once():
        from molnet.training.evaluate import evaluate

    evaluate(config, log_file="evaluate.log")


if __name__ == "__main__":
    with ends_at_once():
        from molnet.training.command_line import run_script

        run_script("evaluate", main)
