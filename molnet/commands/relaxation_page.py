"""The page of a relaxation: energies over the steps, and the structures that need a look."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from molnet import report
from molnet.simulate.relax_files import RelaxationSettings
from molnet.simulate.relaxation_summary import FEW, RelaxationSummary, Remarkable


def page_of_relaxation(summary: RelaxationSummary, settings: RelaxationSettings) -> Path:
    """Writes a page beside the relaxed structures, ``NAME.html`` for ``NAME.extxyz``.

    Args:
        summary: of the relaxation.
        settings: how the structures were relaxed.
    """
    suspects = [
        report.Structure(
            one.name,
            one.end,
            {
                "why": "; ".join(one.reasons),
                "steps": one.relaxed.steps,
                "force (eV/Å)": f"{one.relaxed.force:.3g}",
                "gained (eV)": f"{one.gain:.4f}",
            },
        )
        for one in summary.remarkable
        if one.reasons
    ]
    sections = [
        report.Section(
            "To be looked at",
            [report.Structures(suspects)] if suspects else [],
            "A click on a row shows the structure as it is at the end.",
        )
    ]
    if summary.of > FEW:
        sections.append(
            report.Section("All structures", list(_courses(summary)), "Those that have ended stay.")
        )
    else:
        sections += [_course(one) for one in summary.remarkable if one.relaxed.energies]
    told = {"settings": vars(settings), "seconds": f"{summary.seconds:.1f}"}
    sections.append(report.Section("Settings", [report.Facts(told)], folded=True))
    headline = {
        "converged": f"{summary.converged} of {summary.structures}",
        "steps": f"{summary.steps.mean:.0f} on average",
        "energy gained": f"{summary.gains.mean:.4f} eV on average",
        "to be looked at": f"{len(suspects)}",
    }
    output = summary.output.with_suffix("") if summary.output.suffix == ".gz" else summary.output
    title = f"Relaxation, {output.name}"
    return report.write(output.with_suffix(".html"), title, sections, headline)


def _course(one: Remarkable) -> report.Section:
    """Energy and force of one structure over its steps, and the structure at each."""
    curves = {
        "energy above the end (eV)": np.array(one.relaxed.energies) - one.relaxed.energies[-1],
        "largest force (eV/Å)": np.array(one.relaxed.forces),
    }
    steps = np.arange(len(one.relaxed.energies))
    frames, at = one.relaxed.frames, steps
    if not frames:  # relaxed before an interruption
        frames, at = [one.start, one.end], steps[[0, -1]]
    return report.Section(one.name, [report.Trajectory(frames, steps, curves, "step", at)])


def _courses(summary: RelaxationSummary) -> Iterator[report.Lines]:
    """Energies and forces of many structures over the steps, by rank."""
    for label, of_all in (
        ("energy above the end (eV)", summary.energies),
        ("largest force (eV/Å)", summary.forces),
    ):
        length = max(map(len, of_all), default=0)
        if not length:
            continue
        rows = np.array([[*values, *[values[-1]] * (length - len(values))] for values in of_all])
        if label.startswith("energy"):
            rows -= rows[:, -1:]
        ranks = {"half": 0.5, "nine of ten": 0.9, "all": 1.0}
        series = {
            f"{name} are below": np.where(row > 0, row, np.nan)
            for name, row in zip(ranks, np.quantile(rows, [*ranks.values()], axis=0), strict=True)
        }
        yield report.Lines(np.arange(length), series, "step", label, log=True)
