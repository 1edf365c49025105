"""Train a model.

    python scripts/train.py [dataset=...] [target=...] [model=...] [KEY=VALUE ...]
    python scripts/train.py resume=RUN [KEY=VALUE ...]
    python scripts/train.py -m model.cutoff=4,5,6

``resume=RUN`` continues the run in the folder RUN with its own settings. ``resume=auto`` continues
the newest unfinished run of the same command line, or starts a new run if there is none.
``--help`` lists the options of every group, ``--cfg job`` prints all settings.
"""

import shlex
import sys
from typing import TYPE_CHECKING

from molnet.training.interruption import ends_at_once, word_for

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(config: "DictConfig") -> None:
    # Imported here, so that mistakes on the command line are told before torch is loaded.
    with ends_at_once():
        from molnet.training.interruption import RunInterrupted
        from molnet.training.run import train

    try:
        train(config, log_file="train.log")
    except RunInterrupted as interruption:
        said = word_for(interruption.number)
        if interruption.checkpoint is None:
            print(f"\n{said} before the first checkpoint was saved.", file=sys.stderr)
        else:
            resume = shlex.quote(f"resume={interruption.checkpoint}")
            print(
                f"\n{said}; the state is saved. Continue with\n\n"
                f"  python scripts/train.py {resume}\n",
                file=sys.stderr,
            )
        sys.exit(128 + interruption.number)


if __name__ == "__main__":
    with ends_at_once():
        from molnet.training.command_line import explained, run_script

        arguments, settings = sys.argv[1:], None
        if any(argument.startswith("resume=") for argument in arguments):
            from molnet.training.resume import resumed_arguments

            with explained():
                arguments, settings = resumed_arguments(arguments)
        run_script("train", main, arguments, settings)
