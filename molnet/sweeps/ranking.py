"""The comparison of a sweep's trainings: a table, a CSV file, and the command of the best."""

import csv
import io
import math
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from molnet.stored import write_whole
from molnet.sweeps.best import FILE, NAME, write_experiment
from molnet.sweeps.trials import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    NOT_RUN,
    PRUNED,
    RUNNING,
    Trial,
    ranked,
    swept,
)
from molnet.tables import table
from molnet.training.durations import format_duration
from molnet.training.invocation import command
from molnet.training.overrides import quoted
from molnet.training.report import shown_path

CSV = "ranking.csv"

LONG = 8
"""Characters of a number that is shown with fewer digits."""

ROWS_SHOWN = 30
"""Of the table; the file has all."""


def rank(
    sweep: Path,
    trials: Sequence[Trial],
    more: Mapping[str, str] | None = None,
    remark: str = "",
) -> None:
    """Print the comparison of a sweep's trainings, and write it to the sweep's folder.

    Args:
        sweep: the folder.
        trials: in any order.
        more: files that are there besides, and what they are.
        remark: for below the table.
    """
    if not trials:
        return
    trials = ranked(trials)
    write_csv(sweep / CSV, trials)
    best = trials[0] if trials[0].state == COMPLETE else None
    lines = [_headline(trials), "", ranking_table(trials)]
    lines += ["", *map(_reason, failed)] if (failed := _in(trials, FAILED)) else []
    lines += ["", remark] if remark else []
    files = {CSV: "this table, whole"}
    if best is not None:
        again = [command("train"), *_flags(), *map(shlex.quote, best.arguments)]
        lines += ["", "train the best again:", f"  {' '.join(again)}"]
        files[FILE] = _experiment(sweep, best)
    files |= more or {}
    lines += ["", f"in {shown_path(sweep)}:", *_listed(files)]
    print("\n" + "\n".join(lines) + "\n", flush=True)


def how_to_go_on(sweep: Path, *more: str) -> str:
    """The command that goes on with a sweep which is broken off.

    Args:
        sweep: its folder.
        more: settings that it needs besides those of this process.
    """
    ours = ("hydra.sweep.dir=", *(f"{setting.partition('=')[0]}=" for setting in more))
    given = [word for word in sys.argv[1:] if not word.startswith(ours)]
    place = f"hydra.sweep.dir={quoted(str(shown_path(sweep)))}"
    words = [command("train"), *(shlex.quote(word) for word in [*given, place, *more])]
    return f"Go on with the sweep:\n\n  {' '.join(words)}\n"


def ranking_table(trials: Sequence[Trial]) -> str:
    """The table of trials in their order; failed ones stand below, without a rank."""
    keys = swept(trials)
    objective = next((trial for trial in trials if trial.objective), Trial(0))
    unit = f"\n{objective.unit}" if objective.unit else ""
    rows = []
    for place, trial in enumerate(trials[:ROWS_SHOWN], 1):
        is_complete = trial.state == COMPLETE
        rows.append(
            [
                str(place) if is_complete else "",
                str(trial.number),
                *(_short(trial.settings.get(key, "")) for key in keys),
                _value(trial),
                _epochs(trial),
                "" if trial.seconds is None else format_duration(trial.seconds),
            ]
        )
    header = ["", "trial", *keys, f"{objective.objective or 'objective'}{unit}", "best epoch"]
    return table([*header, "time"], rows, words=())


def write_csv(path: Path, trials: Sequence[Trial]) -> None:
    """Write all trials in their order to a CSV file, whole or not at all."""
    keys = swept(trials)
    text = io.StringIO()
    writer = csv.writer(text)
    more = ["objective", "value", "unit", "best_epoch", "epochs", "seconds", "folder", "error"]
    writer.writerow(["rank", "trial", "state", *keys, *more])
    for place, trial in enumerate(trials, 1):
        rank = place if trial.state == COMPLETE else ""
        of_trial = [trial.objective, trial.value, trial.unit, trial.best_epoch, trial.epochs]
        settings = [trial.settings.get(key, "") for key in keys]
        rest = [*of_trial, trial.seconds, trial.folder, trial.error]
        writer.writerow([rank, trial.number, trial.state, *settings, *rest])
    write_whole(path, text.getvalue())


def _short(value: str) -> str:
    """A number with few digits, as Optuna draws them with many."""
    try:
        return f"{float(value):.4g}" if len(value) > LONG else value
    except ValueError:
        return value


def _in(trials: Sequence[Trial], state: str) -> list[Trial]:
    return [trial for trial in trials if trial.state == state]


def _headline(trials: Sequence[Trial]) -> str:
    number = len(trials)
    counts = {
        state: len(_in(trials, state)) for state in (PRUNED, FAILED, INTERRUPTED, RUNNING, NOT_RUN)
    }
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    text = f"sweep of {number} training{'s' * (number > 1)}"
    hidden = f"; the best {ROWS_SHOWN}" if number > ROWS_SHOWN else ""
    return f"{text}{f' ({said})' if said else ''}{hidden}:"


def _value(trial: Trial) -> str:
    if trial.state != COMPLETE or trial.value is None:
        return trial.state
    return f"{trial.value:.4g}" if math.isfinite(trial.value) else str(trial.value)


def _epochs(trial: Trial) -> str:
    if trial.best_epoch is None:
        return "" if trial.epochs is None else f"of {trial.epochs}"
    return f"{trial.best_epoch} of {trial.epochs}"


def _reason(trial: Trial) -> str:
    start = f"trial {trial.number} failed: "
    return textwrap.fill(
        start + trial.error,
        100,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _experiment(sweep: Path, best: Trial) -> str:
    """Write the best settings, and say what to do with the file."""
    said = (
        f"Trial {best.number} of {shown_path(sweep)}: {best.objective} {best.value:.6g} {best.unit}"
    )
    try:
        write_experiment(sweep, best.arguments, said.strip())
    except ValueError as error:
        return f"not written: {error}"
    folder = shlex.quote(str(shown_path(sweep)))
    return f"the best settings: {command('train')} --config-dir {folder} experiment={NAME}"


def _listed(files: dict[str, str]) -> list[str]:
    width = max(map(len, files))
    return [f"  {name:{width}}  {what}" for name, what in files.items()]


def _flags() -> list[str]:
    """The flags of this process that belong to every training."""
    flags = iter(sys.argv[1:])
    return [
        word
        for flag in flags
        if flag in ("--config-dir", "-cd")
        for word in (flag, shlex.quote(next(flags, "")))
    ]
