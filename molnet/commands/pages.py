"""Pages that show what simulations found: dynamics, vibrations, scans."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from molnet import report
from molnet.simulate.molecular_dynamics import DynamicsSummary
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
    kind = "Gibbs" if found.free else "free"
    free = found.free_energy(result.temperature, result.pressure)
    energies = {
        "energy (eV)": f"{found.energy:.4f}",
        "zero-point energy (eV)": f"{found.zero_point_energy:.4f}",
        f"{kind} energy at {result.temperature:g} K (eV)": f"{free:.4f}",
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
            "A click on a curve shows the structure there.",
        ),
        report.Section(
            "Minima and maxima",
            [report.Table([scan.coordinate.kind, "energy (eV)", "kJ/mol", ""], extrema)],
            "Of the points; between them the energy may be a little lower or higher.",
        ),
        report.Section(
            "Points", [report.Table([label, "energy (eV)", "meV", "kJ/mol"], every)], folded=True
        ),
    ]
    if result.remarks:
        remarks = [[remark] for remark in result.remarks]
        sections.insert(0, report.Section("To be looked at", [report.Table(["what"], remarks)]))
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
