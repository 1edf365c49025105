"""Pages that show what simulations found: dynamics, vibrations, scans, paths."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from molnet import report
from molnet.simulate.molecular_dynamics import DynamicsSummary
from molnet.simulate.neb_files import KJ_PER_MOL, PathOfFiles
from molnet.simulate.recording import COLUMNS, Recording
from molnet.simulate.scan_files import ScanOfFile
from molnet.simulate.vibration_files import VibrationsOfFile

MOST_TRAJECTORIES = 6
"""How many structures of a run of dynamics a page shows; all are in the table."""


def page_of_dynamics(summary: DynamicsSummary) -> Path:
    """Writes ``report.html`` into the folder of a run of dynamics.

    Args:
        summary: of the run.
    """
    folder = summary.folder
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    columns = ["structure", "time (ps)", "temperature (K)", "± (K)"]
    if summary.conserves:
        columns.append("drift (meV/atom/ps)")
    rows: list[list[str | float]] = [
        [name, *numbers[: len(columns) - 1]]
        for name, numbers in zip(summary.names, summary.rows, strict=True)
    ]
    ended = [f"{summary.names[e.place]}: {e.reason} (step {e.step})" for e in summary.ended]
    sections = [
        report.Section(
            "Structures",
            [report.Table(columns, rows)],
            "Ended early: " + "; ".join(ended) if ended else "",
        ),
        *_trajectories(summary),
        report.Section("Settings", [report.Facts(settings)], folded=True),
    ]
    headline = {
        "structures": f"{len(summary.names)}",
        "time": f"{max(row[0] for row in summary.rows):g} ps",
        "ended early": f"{len(summary.ended)}",
    }
    title = f"Dynamics of {', '.join(dict.fromkeys(summary.names[:3]))}"
    return report.write(folder / "report.html", title, sections, headline, str(folder))


def _trajectories(summary: DynamicsSummary) -> Iterator[report.Section]:
    recording = Recording(summary.folder, len(summary.names))
    with recording.table.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for place, name in enumerate(summary.names[:MOST_TRAJECTORIES]):
        own = [row for row in table if row[COLUMNS[1]] == name]
        times = [float(row[COLUMNS[0]]) / 1000 for row in own]
        curves = {}
        for column in COLUMNS[2:]:
            if all(row[column] for row in own):
                curves[column] = [float(row[column]) for row in own]
        trajectory = report.Trajectory(recording.frames(place), times, curves, "time (ps)")
        yield report.Section(name, [trajectory])


def page_of_vibrations(result: VibrationsOfFile) -> Path:
    """Writes ``report.html`` into the folder of one structure's vibrations."""
    found = result.vibrations
    kind, at = "Gibbs" if found.free else "free", result.conditions
    energies = {
        "energy (eV)": f"{found.energy:.4f}",
        "zero-point energy (eV)": f"{found.zero_point_energy:.4f}",
        f"{kind} energy at {at.temperature:g} K (eV)": f"{result.free_energy:.4f}",
        "largest force (eV/Å)": f"{result.force:.4f}",
    }
    modes = report.Modes(
        found.atoms, found.frequencies, found.modes, found.intensities, found.indices
    )
    sections = [
        report.Section("Modes", [modes], "A click on a line or a row shows the motion."),
        report.Section("Energies", [report.Facts(energies)]),
    ]
    headline = {
        "zero-point energy": f"{found.zero_point_energy:.4f} eV",
        "highest frequency": f"{np.max(found.frequencies, initial=0.0):.0f} cm⁻¹",
        "imaginary frequencies": f"{found.imaginary}",
    }
    return report.write(
        result.folder / "report.html",
        f"Vibrations of {result.name}",
        sections,
        headline,
        found.atoms.get_chemical_formula(),
    )


def page_of_scan(result: ScanOfFile) -> Path:
    """Writes ``report.html`` into the folder of one structure's scan."""
    scan, label = result.scan, result.scan.coordinate.label
    sound = [place for place, point in enumerate(scan.points) if point.fault is None]
    order = sorted(sound, key=lambda place: scan.values[place])
    energies, relative = scan.energies, scan.relative
    frames = [scan.points[place].atoms for place in order]
    values = scan.values[order]
    curves = {"relative energy (kJ/mol)": relative[order]}
    meV = 1000 * (energies - np.nanmin(energies))
    every: list[list[str | float]] = [
        [f"{scan.values[p]:.6g}", f"{energies[p]:.4f}", f"{meV[p]:.1f}", f"{relative[p]:.2f}"]
        for p in order
    ]
    extrema: list[list[str | float]] = [
        [result.at(place), f"{energies[place]:.4f}", f"{relative[place]:.2f}", what]
        for places, what in zip(scan.extrema(), ("minimum", "maximum"), strict=True)
        for place in places
    ]
    sections = [
        report.Section(
            result.title,
            [report.Trajectory(frames, values, curves, label)],
            _told("A click on the curve shows the structure there.", result.remarks),
        ),
        report.Section(
            "Minima and maxima",
            [report.Table([scan.coordinate.kind, "energy (eV)", "kJ/mol", ""], extrema)]
            if extrema
            else [],
            "Of the points; between them the energy may be a little lower or higher.",
        ),
        report.Section(
            "Points", [report.Table([label, "energy (eV)", "meV", "kJ/mol"], every)], folded=True
        ),
    ]
    headline = {
        "points": f"{len(scan.points)}",
        "lowest": f"at {result.at(int(np.nanargmin(energies)))}",
        "highest": f"{np.nanmax(relative):.2f} kJ/mol at {result.at(int(np.nanargmax(energies)))}",
    }
    return report.write(
        result.folder / "report.html",
        f"Scan of {result.name}",
        sections,
        headline,
        result.given.get_chemical_formula(),
    )


def _told(text: str, remarks: Sequence[str]) -> str:
    """An introduction with what is to be looked at in front."""
    return " ".join([f"{remark[:1].upper()}{remark[1:]}." for remark in remarks] + [text])


def page_of_path(result: PathOfFiles) -> Path:
    """Writes ``report.html`` into the folder of a path between two structures."""
    path = result.path
    lengths, energies = path.lengths, path.energies
    along, smooth = path.curve()
    relative = (energies - energies[0]) * KJ_PER_MOL
    trajectory = report.Trajectory(
        path.images,
        along,
        {"relative energy (kJ/mol)": (smooth - energies[0]) * KJ_PER_MOL},
        "path (Å)",
        frames_at=lengths,
        caption="The line goes through energies and slopes of the images.",
    )
    images: list[list[str | float]] = [
        [place, f"{lengths[place]:.3f}", f"{energies[place]:.4f}", f"{relative[place]:z.2f}"]
        for place in range(len(energies))
    ]
    facts = {
        "barrier": f"{path.barrier:.4f} eV",
        "barrier back": f"{path.barrier_back:.4f} eV",
        "reaction energy": f"{path.reaction_energy:z.4f} eV",
        "highest image": f"{path.highest}",
        "its vibrations": result.saddle_point or "not known",
        "bonds": ", ".join(result.bonds) or "the same at both ends",
        "convergence": result.convergence,
    }
    sections = [
        report.Section(
            "Path",
            [trajectory],
            _told(
                "A click on the curve shows the structure there.",
                [*([] if path.converged else [result.convergence]), *result.remarks],
            ),
        ),
        report.Section("Barrier", [report.Facts(facts)]),
        report.Section(
            "Images",
            [report.Table(["image", "path (Å)", "energy (eV)", "kJ/mol"], images)],
            folded=True,
        ),
    ]
    if result.saddle is not None:
        found = result.saddle
        modes = report.Modes(
            found.atoms, found.frequencies, found.modes, found.intensities, found.indices
        )
        text = "The imaginary mode leads over the barrier."
        sections.insert(2, report.Section("Vibrations of the highest image", [modes], text))
    headline = {
        "barrier": f"{path.barrier * KJ_PER_MOL:.2f} kJ/mol",
        "barrier back": f"{path.barrier_back * KJ_PER_MOL:.2f} kJ/mol",
        "reaction energy": f"{path.reaction_energy * KJ_PER_MOL:z.2f} kJ/mol",
        "converged": "yes" if path.converged else "no",
    }
    return report.write(
        result.folder / "report.html",
        f"Path from {result.title}",
        sections,
        headline,
        path.images[0].get_chemical_formula(),
    )
