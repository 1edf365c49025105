"""The command ``molnet``: finds the module of a command and runs it."""

import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

import molnet
from molnet.commands.importing import importing
from molnet.training.errors import did_you_mean
from molnet.training.interruption import end_if_unread

COMMANDS = {
    "predict": "energies, forces and other properties of structures in files",
    "train": "train a model on structures and their properties",
    "evaluate": "errors of a model on labelled structures",
    "relax": "relax structures in files, and their cells",
    "md": "molecular dynamics of structures in files",
    "vibrations": "harmonic vibrations and free energies of structures in files",
    "scan": "energies along a distance, an angle or a torsion",
    "neb": "minimum-energy path and barrier between two structures",
    "models": "the models that come with molnet",
    "completion": "the Tab key: source <(molnet completion bash), or zsh, fish",
}
"""Every command: a module of this package with a function ``main``, and what it does."""

HIDDEN = ("complete",)
"""Commands that shells call."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: the command line without the program's name; by default the process's own.
    """
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        end_if_unread()
        raise


def _run(given: list[str]) -> None:
    name = given[0] if given else "--help"
    if name in ("--help", "-h", "help"):
        print(overview())
    elif name in ("--version", "-V"):
        print(f"molnet {molnet.__version__}")
    elif name in COMMANDS or name in HIDDEN:
        with importing():
            command = import_module(f"molnet.commands.{name}")
        command.main(given[1:])
    else:
        known = [*COMMANDS, "--help", "--version"]
        hint = did_you_mean(name, known)
        if os.path.exists(name):
            hint = f"it is a file; molnet predict {shlex.quote(name)} predicts its properties"
        print(f"error: unknown command {name}: {hint}", file=sys.stderr)
        sys.exit(1)


def overview() -> str:
    """What ``molnet --help`` prints."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {does}" for name, does in COMMANDS.items())
    return f"""molnet {molnet.__version__}: properties of molecules and solids from structures

  molnet predict water.xyz       with the model that comes with molnet
  molnet train mine.xyz          a model of your own structures
  molnet train                   a first model, of bundled data, in two minutes

Commands:

{commands}

molnet COMMAND --help explains a command. Settings are written KEY=VALUE."""
