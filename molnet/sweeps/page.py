"""The page of a study: the course of the search, the settings, and how much they matter."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from molnet import report
from molnet.report.block import Block
from molnet.sweeps.study import counted, number_of
from molnet.sweeps.trials import Trial as Record
from molnet.sweeps.trials import ranked, swept

PAGE = "study.html"

ENOUGH = 4
"""Trials from which on importances are computed."""


def write_page(sweep: Path, study: optuna.Study, found: Sequence[Record]) -> dict[str, str]:
    """Write the page of a study to its folder.

    Returns:
        The file and what it is; nothing if no trial has ended well.
    """
    done = [trial for trial in counted(study) if trial.state == TrialState.COMPLETE]
    if not done:
        return {}
    named = next(record for record in found if record.objective)
    objective = f"{named.objective}{f' ({named.unit})' if named.unit else ''}"
    values = np.array([trial.value for trial in done])
    best = ranked(found)[0]
    sections = [
        report.Section("Search", [_course(done, values, objective), *_importances(study)]),
        report.Section("Settings", [*_settings(done, values, objective)]),
        report.Section("Trials", [_table(found, objective)]),
    ]
    headline = {
        "best": f"{values.min():.4g} {named.unit}".strip(),
        "of trial": str(best.number),
        "trials": f"{len(done)} of {len(found)} complete",
    }
    report.write(sweep / PAGE, f"Search for {named.objective}", sections, headline, str(sweep))
    return {PAGE: "the course of the search, and which settings matter"}


def importances(study: optuna.Study) -> dict[str, float]:
    """How much each setting matters, largest first (PED-ANOVA); nothing for too few trials."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < ENOUGH or len({trial.value for trial in done}) == 1:
        return {}
    return optuna.importance.get_param_importances(study)


def _course(done: Sequence[FrozenTrial], values: np.ndarray, objective: str) -> Block:
    numbers = [number_of(trial) for trial in done]
    order = np.argsort(numbers)
    series = {"trial": values[order], "best so far": np.minimum.accumulate(values[order])}
    return report.Lines(np.array(numbers)[order], series, "trial", objective)


def _importances(study: optuna.Study) -> list[Block]:
    found = importances(study)
    caption = "How much of the difference between trials a setting explains (PED-ANOVA)."
    return [report.Bars(found, "importance", caption=caption)] if found else []


def _settings(done: Sequence[FrozenTrial], values: np.ndarray, objective: str) -> list[Block]:
    """Each setting against the objective: points for numbers, the best of each choice otherwise."""
    blocks: list[Block] = []
    for key in dict.fromkeys(name for trial in done for name in trial.params):
        having = [index for index, trial in enumerate(done) if key in trial.params]
        chosen = [done[index].params[key] for index in having]
        if isinstance(chosen[0], str):
            best: dict[str, float] = {}
            for choice, value in zip(chosen, values[having], strict=True):
                best[choice] = min(value, best.get(choice, np.inf))
            counts = {choice: chosen.count(choice) for choice in best}
            blocks.append(report.Bars(best, f"best {objective}", counts, caption=key))
            continue
        distribution = done[having[0]].distributions[key]
        is_log = getattr(distribution, "log", False)
        x = np.log10(chosen) if is_log else np.array(chosen)
        label = f"log10 {key}" if is_log else key
        names = [f"trial {number_of(done[index])}" for index in having]
        blocks.append(report.Points(x, values[having], label, objective, names))
    return blocks


def _table(found: Sequence[Record], objective: str) -> Block:
    keys = swept(found)
    rows = [
        [
            str(record.number),
            *(record.settings.get(key, "") for key in keys),
            record.state if record.value is None else f"{record.value:.4g}",
            record.state,
        ]
        for record in ranked(found)
    ]
    return report.Table(["trial", *keys, objective, "state"], rows)
