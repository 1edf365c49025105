"""The command line of `benchmark.py accuracy`."""

import argparse
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarking.accuracy import Contest, compete, prepare
from benchmarking.codes import CODES
from benchmarking.codes.code import CUTOFF, Code, Task
from benchmarking.codes.molnet import RECIPE, with_recipe
from benchmarking.curves import Curve, curve_table, write_csv
from benchmarking.plot import plot_curves
from benchmarking.timing import processor
from benchmarking.training_run import TrainingError


def accuracy_options() -> argparse.ArgumentParser:
    """The options of the command, for a parser to inherit."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--frames",
        type=Path,
        required=True,
        metavar="FILE",
        help="structures with energies in eV and forces in eV/Å",
    )
    options.add_argument(
        "--isolated-atoms", type=Path, required=True, metavar="FILE", help="with energies in eV"
    )
    options.add_argument(
        "--validation", type=int, default=50, metavar="N", help="structures drawn for validation"
    )
    options.add_argument("--minutes", type=float, default=30.0, help="of each training")
    options.add_argument("--codes", nargs="+", choices=CODES, default=[*CODES])
    options.add_argument(
        "--python",
        type=of_a_code(CODES),
        action="append",
        default=[],
        metavar="CODE=PATH",
        help="the Python of the environment of a code; by default that of this script",
    )
    options.add_argument(
        "--molnet",
        type=shlex.split,
        default=RECIPE,
        metavar="SETTINGS",
        help="molnet's recipe as settings of molnet train, e.g. experiment=NAME; default "
        + " ".join(RECIPE),
    )
    options.add_argument(
        "--add",
        type=of_a_code(CODES),
        action="append",
        default=[],
        metavar="CODE=ARGUMENTS",
        help="more arguments of a code's own command, e.g. mace='--hidden_irreps 128x0e+128x1o'",
    )
    options.add_argument(
        "--again", nargs="+", choices=CODES, default=[], help="do not use what is kept of a code"
    )
    options.add_argument(
        "--output",
        type=Path,
        default=Path("accuracy"),
        metavar="FOLDER",
        help="for the trainings, errors.csv and accuracy.png; finished trainings are kept there",
    )
    return options


def run_accuracy(options: argparse.Namespace) -> list[Curve]:
    """Let the codes train, print the table, and write all into the folder.

    Raises:
        TrainingError: the training of a code failed; those of the others are in the folder.
    """
    codes = [code for name, code in CODES.items() if name in options.codes]
    codes = [with_recipe(options.molnet) if code.name == "molnet" else code for code in codes]
    contest = Contest(
        codes,
        {name: Path(python) for name, python in options.python},
        {name: shlex.split(arguments) for name, arguments in options.add},
        options.again,
        options.output,
    )
    task = prepare(
        options.frames,
        options.isolated_atoms,
        options.validation,
        options.output,
        options.minutes,
        options.threads,
    )
    curves, failures = compete(contest, task)
    if curves:
        print(curve_table(curves, options.minutes))
        write_csv(curves, options.output / "errors.csv")
        image = options.output / "accuracy.png"
        plot_curves(curves, _small_print(task, options.frames, codes, curves), image)
        print(f"in {options.output}: errors.csv, accuracy.png")
    if failures:
        raise TrainingError(f"the training of {', '.join(failures)} failed, as told above")
    return curves


def of_a_code(codes: Iterable[str]) -> Callable[[str], tuple[str, str]]:
    """A type of options ``CODE=VALUE``, where the code is one of these."""
    names = [*codes]

    def parse(text: str) -> tuple[str, str]:
        name, sign, value = text.partition("=")
        if name not in names or not sign or not value:
            raise argparse.ArgumentTypeError(
                f"expected CODE=... with one of {', '.join(names)}, got {text!r}"
            )
        return name, value

    return parse


def _small_print(task: Task, frames: Path, codes: Sequence[Code], curves: Sequence[Curve]) -> str:
    """The conditions of the comparison, for below the plot."""
    shown = [code for code in codes if any(c.title.startswith(code.title) for c in curves)]
    recipes = "\n".join(f"{code.title}: {code.recipe}" for code in shown)
    return (
        f"{task.training} structures of {frames.name}, errors on {task.validation} others; "
        f"{task.threads} thread{'s' * (task.threads > 1)} of {processor()}, cutoff {CUTOFF:g} Å, "
        f"float32; start-up included\n{recipes}"
    )
