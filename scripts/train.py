"""Train a model.

    python scripts/train.py [dataset=...] [target=...] [model=...] [KEY=VALUE ...]
    python scripts/train.py resume=RUN/checkpoints/last.ckpt
    python scripts/train.py -m model.cutoff=4,5,6

``--help`` lists the options of every group, ``--cfg job`` prints all settings.
"""

import sys

from omegaconf import DictConfig

from molnet.training.command_line import INTERRUPTED, explained, run_script


def main(config: DictConfig) -> None:
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    from molnet.training.checkpoints import RunInterrupted
    from molnet.training.resume import quoted
    from molnet.training.run import train

    try:
        train(config)
    except RunInterrupted as interruption:
        if interruption.checkpoint is None:
            print("\nInterrupted before anything was saved.", file=sys.stderr)
        else:
            path = quoted(interruption.checkpoint)
            command = f"python scripts/train.py resume={path}"
            print(f"\nInterrupted; the state is saved. Go on with\n\n  {command}", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if any(argument.startswith("resume=") for argument in arguments):
        from molnet.training.resume import resumed_arguments

        with explained("train", arguments):
            arguments = resumed_arguments(arguments)
    run_script("train", main, arguments)
