"""Scans of structures from files: tables, structures and warnings."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph import StructureError
from molnet.graph.frames import DEFAULTS, ReadingOptions, StructureFileError, frame_name
from molnet.models import FrozenModel, Model, PredictionError
from molnet.models.domain import Outside
from molnet.progress import progress
from molnet.simulate.beforehand import outside_of
from molnet.simulate.changes import bond_changes
from molnet.simulate.inputs import with_folders
from molnet.simulate.internal_coordinate import CoordinateError, InternalCoordinate
from molnet.simulate.scan import Scan, scan
from molnet.simulate.writing import explained_place

MOST_POINTS = 10_000
SHOWN = 3
"""How many points of a kind are named."""


@dataclass(frozen=True)
class ScanSettings:
    """What is changed, and how the rest follows.

    Attributes:
        coordinate: two, three or four atoms, counted from 0.
        start: Å or degrees, of the first point; None: the structure's own.
        stop: of the last point; None: a full turn of a torsion.
        steps: between points; there is one point more.
        relax: whether all else is relaxed.
        fmax, max_steps: eV/Å and steps, see :func:`molnet.simulate.scan.scan`.
        max_atoms: most atoms that are evaluated at once.
    """

    coordinate: InternalCoordinate
    start: float | None = None
    stop: float | None = None
    steps: int = 36
    relax: bool = True
    fmax: float = 0.01
    max_steps: int = 500
    max_atoms: int = 4000

    def __post_init__(self) -> None:
        if not 1 <= self.steps < MOST_POINTS:
            raise ValueError(
                f"expected steps from 1 to {MOST_POINTS - 1} between the points, received "
                f"steps={self.steps}"
            )
        if self.stop is None and self.coordinate.kind != "torsion":
            raise ValueError(
                f"to is not set: give to=VALUE, the last {self.coordinate.kind} in "
                f"{self.coordinate.unit}"
            )

    def values(self, atoms: Atoms) -> NDArray[np.float64]:
        """[steps + 1], Å or degrees.

        Raises:
            CoordinateError: the first and the last are the same.
        """
        start = self.coordinate.value(atoms) if self.start is None else self.start
        stop = start + 360.0 if self.stop is None else self.stop
        if start == stop:
            raise CoordinateError(f"expected different ends, received from={start:g} to={stop:g}")
        return np.linspace(start, stop, self.steps + 1)


@dataclass(frozen=True)
class ScanOfFile:
    """The scan of one structure, and what was written. ``str(result)`` is a table for people.

    Attributes:
        name: of the structure.
        given: the structure.
        scan: its points.
        outside: points outside of the model's domain.
        bonds: points whose bonds are others than those of the structure, with what changed.
        folder: where points and numbers are.
    """

    name: str
    given: Atoms
    scan: Scan
    outside: Outside
    bonds: list[str]
    folder: Path

    def at(self, point: int) -> str:
        """The place of a point, such as ``120°``."""
        return place_of(self.scan, point)

    @property
    def title(self) -> str:
        """Such as ``torsion C0-C1-O2-H8, relaxed``."""
        how = "relaxed" if self.scan.relaxed else "rigid"
        return f"{self.scan.coordinate.name(self.given)}, {how}"

    @property
    def remarks(self) -> list[str]:
        """What is not as it should be, and what is worth a look."""
        remarks = []
        for what, points in (
            ("not relaxed to fmax", [p for p in self._sound() if not self._is_relaxed(p)]),
            ("without an energy", [p for p in range(len(self.scan.values)) if self._fault(p)]),
        ):
            if points:
                first = points[0]
                reason = self._fault(first) or (
                    f"{self.scan.points[first].force:.3g} eV/Å left after "
                    f"{self.scan.points[first].steps} steps"
                )
                named = ", ".join(map(self.at, points[:SHOWN])) + ", ..." * (len(points) > SHOWN)
                remarks.append(f"{what}: {len(points)} ({named}); at {self.at(first)}: {reason}")
        if self.bonds:
            more = f"; ... and {len(self.bonds) - SHOWN} more" if len(self.bonds) > SHOWN else ""
            remarks.append(f"other bonds than at the start: {'; '.join(self.bonds[:SHOWN])}{more}")
        if self.outside.count:
            remarks.append(f"warning: {self.outside}")
        return remarks

    def __str__(self) -> str:
        scan = self.scan
        label = scan.coordinate.label
        width = max(len(label), 12)
        lines = [
            f"{self.name} ({self.given.get_chemical_formula()}): {self.title}",
            f"{label:>{width}}     energy (eV)  relative (meV)  (kJ/mol)",
        ]
        relative = scan.relative
        lowest = np.nanmin(scan.energies)
        minima, maxima = scan.extrema()
        digits = 3 if scan.coordinate.kind == "distance" else 2
        marks = {**dict.fromkeys(minima, "  minimum"), **dict.fromkeys(maxima, "  maximum")}
        for point, energy in enumerate(scan.energies):
            if np.isnan(energy):
                lines.append(f"{scan.values[point]:{width}.{digits}f}               -")
                continue
            lines.append(
                f"{scan.values[point]:{width}.{digits}f}  {energy:14.4f}  "
                f"{1000 * (energy - lowest):14.1f}  {relative[point]:8.2f}{marks.get(point, '')}"
            )
        if scan.taken:
            noun = "point was" if scan.taken == 1 else "points were"
            lines.append(f"{scan.taken} {noun} lower from a neighbour's structure")
        return "\n".join([*lines, *self.remarks, f"written to {self.folder}"])

    def _fault(self, point: int) -> str | None:
        return self.scan.points[point].fault

    def _sound(self) -> list[int]:
        return [point for point in range(len(self.scan.values)) if self._fault(point) is None]

    def _is_relaxed(self, point: int) -> bool:
        return self.scan.points[point].converged or not self.scan.relaxed


def place_of(scan: Scan, point: int) -> str:
    """The value of the coordinate at a point, such as ``120°``."""
    unit = scan.coordinate.unit
    return f"{scan.values[point]:.6g}{'°' if unit == '°' else f' {unit}'}"


def scan_files(
    model: Model,
    input: str | Path | Sequence[str | Path],
    settings: ScanSettings,
    output: str | Path | None = None,
    reading: ReadingOptions = DEFAULTS,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[ScanOfFile]:
    """Scans every structure of one or several files along the same coordinate.

    Each structure has a folder with ``scan.extxyz`` (the points with energies and forces) and
    ``scan.csv``.

    Args:
        model: with an energy and forces.
        input: a file that ASE reads, a glob, or several.
        settings: the coordinate and its values.
        output: the folder; by default ``NAME.scan`` in the working folder. The folders of several
            structures lie in it.
        reading: what the files leave open.
        stop: see :func:`molnet.simulate.scan.scan`; no other structure is scanned then.

    Raises:
        StructureFileError: a structure cannot be read or evaluated, or does not have the
            coordinate; the message has file and frame.
        ValueError: settings that are not possible, or an output that holds a scan already.
        OSError: the output cannot be written.
    """
    frozen = FrozenModel(model)
    for (file, number, atoms), name, own in with_folders(input, output, "scan", "scans", reading):
        if stop():
            break
        if (own / "scan.csv").exists():
            raise ValueError(
                f"{own} holds a scan already: choose another folder with output=FOLDER"
            )
        try:
            result = _scanned(frozen, name, atoms, settings, own, stop)
        except (StructureError, PredictionError, CoordinateError) as error:
            raise StructureFileError(f"{frame_name(file, number)}: {error}") from error
        write(result)
        yield result


def _scanned(
    model: FrozenModel,
    name: str,
    atoms: Atoms,
    settings: ScanSettings,
    folder: Path,
    stop: Callable[[], bool],
) -> ScanOfFile:
    coordinate = settings.coordinate
    coordinate.check(atoms)
    values = settings.values(atoms)
    with progress("scanning", len(values), "points") as shown:
        found = scan(
            model,
            atoms,
            coordinate,
            values,
            relaxed=settings.relax,
            fmax=settings.fmax,
            steps=settings.max_steps,
            max_atoms=settings.max_atoms,
            advance=shown.advance,
            stop=stop,
        )
    sound = [place for place, point in enumerate(found.points) if point.fault is None]
    if not sound:
        raise StructureError(str(found.points[0].fault))
    structures = [found.structures[place] for place in sound]
    names = [place_of(found, place) for place in sound]
    bonds = [
        f"{name}: {', '.join(changes[:SHOWN])}"
        for name, structure in zip(names, structures, strict=True)
        if (changes := bond_changes(atoms, structure))
    ]
    return ScanOfFile(name, atoms, found, outside_of(model, structures, names), bonds, folder)


def write(result: ScanOfFile) -> None:
    """Writes the folder of one structure, with ``scan.csv`` last."""
    found = result.scan
    structures = []
    for value, point in zip(found.values, found.points, strict=True):
        if point.fault is None:
            atoms = point.atoms.copy()
            atoms.calc = point.atoms.calc
            atoms.info[found.coordinate.kind] = float(value)
            if found.relaxed:
                atoms.info["converged"] = point.converged
            structures.append(atoms)
    path = result.folder / "scan.extxyz"
    with explained_place(path):
        result.folder.mkdir(parents=True, exist_ok=True)
        ase.io.write(path, structures)
        with (result.folder / "scan.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            header = [found.coordinate.label, "energy (eV)", "relative energy (kJ/mol)"]
            ended = ["largest force (eV/Å)", "steps", "converged"] if found.relaxed else []
            table.writerow([*header, *ended])
            rows = zip(found.values, found.energies, found.relative, found.points, strict=True)
            for value, energy, relative, point in rows:
                known = [""] * 2 if point.fault else [f"{energy:.6f}", f"{relative:.4f}"]
                left = "" if point.fault else f"{point.force:.5f}"
                how = [left, point.steps, point.converged] if found.relaxed else []
                table.writerow([f"{value:.6f}", *known, *how])
