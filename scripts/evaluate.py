"""Errors of a saved model on a data set.

    python scripts/evaluate.py model=FOLDER [dataset=...] [split=test|all|...] [KEY=VALUE ...]

Without ``dataset`` it is the one that the model was trained on. ``--help`` lists the options.
"""

from omegaconf import DictConfig

from molnet.training.command_line import run_script


def main(config: DictConfig) -> None:
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    from molnet.training.evaluate import evaluate

    evaluate(config)


if __name__ == "__main__":
    run_script("evaluate", main)
