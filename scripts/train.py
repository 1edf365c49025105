"""Train a model.

    python scripts/train.py [dataset=...] [target=...] [model=...] [KEY=VALUE ...]
    python scripts/train.py resume=RUN/checkpoints/last.ckpt
    python scripts/train.py -m model.cutoff=4,5,6

``--help`` lists the options of every group, ``--cfg job`` prints all settings.
"""

import shlex
import sys

from omegaconf import DictConfig

from molnet.training.command_line import explained, run_script


def main(config: DictConfig) -> None:
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    from molnet.training.checkpoints import RunInterrupted
    from molnet.training.run import train

    try:
        train(config)
    except RunInterrupted as interruption:
        if interruption.checkpoint is None:
            print("\nInterrupted before anything was saved.", file=sys.stderr)
        else:
            resume = shlex.quote(f"resume={interruption.checkpoint}")
            print(
                "\nInterrupted; the state is saved. Go on with\n\n"
                f"  python scripts/train.py {resume}\n",
                file=sys.stderr,
            )
        sys.exit(128 + interruption.number)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if any(argument.startswith("resume=") for argument in arguments):
        from molnet.training.resume import resumed_arguments

        with explained("train", arguments):
            arguments = resumed_arguments(arguments)
    run_script("train", main, arguments)
