"""Minimum-energy paths between structures from files: checked, relaxed, found, written."""

import csv
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units

from molnet.graph import StructureError
from molnet.graph.elements import SYMBOLS
from molnet.graph.frames import (
    DEFAULTS,
    ReadingOptions,
    StructureFileError,
    frame_name,
    resolve_paths,
)
from molnet.models import (
    FrozenModel,
    Model,
    OutsideDomainWarning,
    PredictionError,
    UnseenChargeWarning,
)
from molnet.models.domain import Outside
from molnet.progress import progress
from molnet.simulate.beforehand import outside_of, relaxed_first
from molnet.simulate.changes import bond_changes, displacements
from molnet.simulate.inputs import default_name, frames_of
from molnet.simulate.motion import fixed_atoms, free_atoms
from molnet.simulate.neb import MinimumEnergyPath, interpolated, minimum_energy_path
from molnet.simulate.vibrations import Vibrations, vibrations
from molnet.simulate.writing import explained_place

IMAGES = 11
"""How many structures a path has unless told otherwise."""

SAME = 0.1
"""Å. Ends of which no atom is farther from its place are one structure."""

FIXED = 0.01
"""Å, how far fixed atoms may be apart in two files."""

MANY_CHANGES = 6
"""More changed bonds hint at another order of the atoms."""

KJ_PER_MOL = units.mol / units.kJ


class PathError(ValueError):
    """Structures between which no path can be sought."""


@dataclass(frozen=True)
class PathSettings:
    """How a path is sought.

    Attributes:
        images: structures on it, the ends included; None: as many as are given, or 11 for two.
        ends_fmax: eV/Å, to which the ends are relaxed first; None: they are taken as they are.
        fmax, steps, climb: see :func:`molnet.simulate.neb.minimum_energy_path`.
        frequencies: whether the vibrations of the highest image are found.
    """

    images: int | None = None
    ends_fmax: float | None = 0.01
    fmax: float = 0.03
    steps: int = 500
    climb: bool = True
    frequencies: bool = True

    def __post_init__(self) -> None:
        if self.fmax <= 0 or (self.ends_fmax is not None and self.ends_fmax <= 0):
            raise ValueError(
                f"expected fmax > 0 and ends_fmax > 0, received fmax={self.fmax:g} and "
                f"ends_fmax={self.ends_fmax}"
            )
        if self.steps < 1 or (self.images is not None and self.images < 3):
            raise ValueError(
                "expected steps >= 1 and images >= 3, both ends among them, received "
                f"steps={self.steps} and images={self.images}"
            )


@dataclass(frozen=True)
class PathOfFiles:
    """A path, and what was written. ``str(result)`` is a table for people.

    Attributes:
        names: of the first and the last structure.
        path: the images.
        fmax: eV/Å, at which it is converged.
        saddle: vibrations of the highest image; None if it is an end, or they were not asked for.
        outside: images outside of the model's domain.
        bonds: that differ between the ends.
        folder: where images and numbers are.
    """

    names: tuple[str, str]
    path: MinimumEnergyPath
    fmax: float
    saddle: Vibrations | None
    outside: Outside
    bonds: list[str]
    folder: Path

    @property
    def title(self) -> str:
        """Such as ``reactant to product``."""
        return f"{self.names[0]} to {self.names[1]}"

    @property
    def convergence(self) -> str:
        """Whether it is converged, and what is left."""
        path = self.path
        if path.converged:
            return f"converged after {path.steps} steps ({path.force:.3f} eV/Å left)"
        return (
            f"not converged: {path.force:.3f} eV/Å left after {path.steps} steps (fmax="
            f"{self.fmax:g}), so barrier and path are not final. Go on with more steps: molnet neb "
            f"{self.folder / 'path.extxyz'}"
        )

    @property
    def saddle_point(self) -> str:
        """What the vibrations of the highest image say; empty if they are not known."""
        if self.saddle is None:
            return ""
        frequencies = self.saddle.frequencies
        imaginary = ", ".join(f"{-f:.0f}i" for f in frequencies[frequencies < 0][:3])
        if self.saddle.imaginary == 1:
            return f"one imaginary frequency, {imaginary} cm⁻¹: a saddle point of first order"
        if not self.saddle.imaginary:
            return "no imaginary frequency: no saddle point. Take more images or a smaller fmax"
        return (
            f"{self.saddle.imaginary} imaginary frequencies ({imaginary} cm⁻¹), a saddle point has "
            "one. Relax the path further with a smaller fmax, or break its symmetry"
        )

    @property
    def remarks(self) -> list[str]:
        """What is not as it should be, and what is worth a look."""
        path, remarks = self.path, []
        if path.highest in (0, len(path.images) - 1):
            remarks.append(
                f"no barrier: the highest image is the {'first' if path.highest == 0 else 'last'}"
            )
        if path.intermediates:
            places = ", ".join(map(str, path.intermediates))
            remarks.append(
                f"minima on the way (image {places}): the path has several barriers. Relax these "
                "images, and seek a path for each part"
            )
        if len(self.bonds) > MANY_CHANGES:
            remarks.append(
                f"warning: {len(self.bonds)} bonds differ between the ends. Are the atoms in the "
                "same order in both?"
            )
        if self.outside.count:
            remarks.append(f"warning: {self.outside}")
        return remarks

    def __str__(self) -> str:
        path = self.path
        formula = path.images[0].get_chemical_formula()
        lines = [
            f"{self.title} ({formula}), {len(path.images)} images",
            "image  path (Å)     energy (eV)  relative (eV)  (kJ/mol)",
        ]
        for place, (length, energy) in enumerate(zip(path.lengths, path.energies, strict=True)):
            relative = energy - path.energies[0]
            mark = "  highest" if place == path.highest else ""
            lines.append(
                f"{place:5}  {length:8.3f}  {energy:14.4f}  {relative:z13.4f}  "
                f"{relative * KJ_PER_MOL:z8.2f}{mark}"
            )
        for what, energy in (
            ("barrier", path.barrier),
            ("barrier back", path.barrier_back),
            ("reaction energy", path.reaction_energy),
        ):
            lines.append(f"{what:15} {energy:z8.4f} eV  {energy * KJ_PER_MOL:z8.2f} kJ/mol")
        if self.saddle_point:
            lines.append(f"highest image: {self.saddle_point}")
        if self.bonds:
            more = f" and {len(self.bonds) - MANY_CHANGES} more"
            shown = ", ".join(self.bonds[:MANY_CHANGES])
            lines.append(f"bonds: {shown}{more * (len(self.bonds) > MANY_CHANGES)}")
        return "\n".join([*lines, *self.remarks, self.convergence, f"written to {self.folder}"])


def path_between_files(
    model: Model,
    input: str | Path | Sequence[str | Path],
    settings: PathSettings | None = None,
    output: str | Path | None = None,
    reading: ReadingOptions = DEFAULTS,
    stop: Callable[[], bool] = lambda: False,
) -> PathOfFiles:
    """The minimum-energy path between two structures from files.

    The folder holds ``path.extxyz`` (images with energies and forces), ``path.csv`` and
    ``highest.extxyz``.

    Args:
        model: with an energy and forces; best in float64.
        input: two structures, in one file or two; more are a first guess of the path.
        settings: how it is sought.
        output: the folder; by default ``NAME.neb`` in the working folder.
        reading: what the files leave open.
        stop: asked after each step whether the path shall be written as it is, without frequencies.

    Raises:
        PathError: structures that do not fit together, or that relax to the same one.
        StructureFileError: a structure cannot be read or evaluated.
        ValueError: settings that are not possible, or an output that holds a path already.
        OSError: the output cannot be written.
    """
    settings = settings or PathSettings()
    files = resolve_paths(input)
    folder = Path(default_name(files[:1], "neb", "") if output is None else output)
    if (folder / "path.csv").exists():
        raise ValueError(f"{folder} holds a path already: choose another folder with output=FOLDER")
    frames = [frame for file in files for frame in frames_of(file, reading)]
    places = [frame_name(frame.path, frame.number) for frame in frames]
    given = [frame.atoms for frame in frames]
    check_structures(given, places)
    if len(given) > 2 and settings.images not in (None, len(given)):
        raise PathError(
            f"expected images={len(given)}, as many structures as the input holds, received "
            f"images={settings.images}. Give the two ends alone for another number"
        )
    frozen = FrozenModel(model)
    ends = [given[0], given[-1]]
    try:
        if settings.ends_fmax is not None:
            ends = _relaxed(frozen, ends, settings.ends_fmax, [places[0], places[-1]])
        path = _path(frozen, [ends[0], *given[1:-1], ends[1]], settings, stop)
    except (StructureError, PredictionError) as error:
        raise StructureFileError(f"{places[0]}: {error}") from error
    names = frames[0].path.stem, frames[-1].path.stem
    if len(files) == 1:
        names = f"{names[0]} 0", f"{names[1]} {len(frames) - 1}"
    result = PathOfFiles(
        names,
        path,
        settings.fmax,
        _saddle(frozen, path) if settings.frequencies and not stop() else None,
        outside_of(frozen, path.images, [f"image {place}" for place in range(len(path.images))]),
        bond_changes(path.images[0], path.images[-1]),
        folder,
    )
    write(result)
    return result


def check_structures(structures: Sequence[Atoms], places: Sequence[str]) -> None:
    """Refuses structures that are not the same atoms in the same order and cell.

    Args:
        structures: along a path.
        places: where each was read.

    Raises:
        PathError: what differs, and between which.
    """
    if len(structures) < 2:
        raise PathError(
            f"expected two structures, the ends of the path, received one ({places[0]}): molnet "
            "neb FIRST LAST"
        )
    first = structures[0]
    for other, place in zip(structures[1:], places[1:], strict=True):
        both = f"{places[0]} and {place}"
        formulas = [_formula(first), _formula(other)]
        if formulas[0] != formulas[1]:
            raise PathError(
                f"{both} have different atoms, {formulas[0]} and {formulas[1]}: a path needs the "
                "same ones"
            )
        if (first.numbers != other.numbers).any():
            atom = int((first.numbers != other.numbers).argmax())
            raise PathError(
                f"{both} have the same atoms in different orders: atom {atom} (counted from 0) is "
                f"{SYMBOLS[first.numbers[atom]]} in the one and {SYMBOLS[other.numbers[atom]]} in "
                "the other. Write both files in the same order, each atom in its own place"
            )
        if (first.pbc != other.pbc).any() or not np.allclose(
            first.cell.array, other.cell.array, atol=1e-6
        ):
            raise PathError(f"{both} have different cells; a path keeps its cell")
        fixed = sorted(fixed_atoms(first))
        moved = np.linalg.norm((first.positions - other.positions)[fixed], axis=1)
        if (moved > FIXED).any():
            raise PathError(
                f"{both}: atom {fixed[int(moved.argmax())]} is fixed by a constraint and has "
                f"different places, {moved.max():.3g} Å apart"
            )


def write(result: PathOfFiles) -> None:
    """Writes the folder of a path, with ``path.csv`` last."""
    path = result.path
    images = []
    for place, (image, length) in enumerate(zip(path.images, path.lengths, strict=True)):
        atoms = image.copy()
        atoms.calc = image.calc
        atoms.info |= {"image": place, "path_length": float(length), "converged": path.converged}
        images.append(atoms)
    with explained_place(result.folder / "path.extxyz"):
        result.folder.mkdir(parents=True, exist_ok=True)
        ase.io.write(result.folder / "path.extxyz", images)
        ase.io.write(result.folder / "highest.extxyz", images[path.highest])
        with (result.folder / "path.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["image", "path (Å)", "energy (eV)", "relative energy (kJ/mol)"])
            for place, (length, energy) in enumerate(zip(path.lengths, path.energies, strict=True)):
                relative = (energy - path.energies[0]) * KJ_PER_MOL
                table.writerow([place, f"{length:.5f}", f"{energy:.6f}", f"{relative:.4f}"])


def _formula(atoms: Atoms) -> str:
    counts = Counter(atoms.get_chemical_symbols())
    return "".join(f"{symbol}{counts[symbol]}" for symbol in sorted(counts)) or "no atoms"


def _relaxed(
    model: FrozenModel, ends: list[Atoms], fmax: float, places: Sequence[str]
) -> list[Atoms]:
    first, last = relaxed_first(model, ends, places, fmax, "ends_fmax")
    moved = float(displacements(first, last).max())
    if moved < SAME:
        raise PathError(
            f"{places[0]} and {places[1]} relax to the same structure (no atom is more than "
            f"{moved:.2g} Å from its place), so there is no path between them. ends_fmax=null "
            "takes the structures as they are"
        )
    return [first, last]


def _path(
    model: FrozenModel,
    structures: list[Atoms],
    settings: PathSettings,
    stop: Callable[[], bool],
) -> MinimumEnergyPath:
    images = structures
    if len(structures) == 2:
        images = interpolated(structures[0], structures[1], settings.images or IMAGES)
    for image in images:
        image.set_constraint(structures[0].constraints)
    with progress("path", settings.steps, "steps") as shown:
        return minimum_energy_path(
            model,
            images,
            fmax=settings.fmax,
            steps=settings.steps,
            climb=settings.climb,
            advance=shown.advance,
            stop=stop,
        )


def _saddle(model: FrozenModel, path: MinimumEnergyPath) -> Vibrations | None:
    if path.highest in (0, len(path.images) - 1):
        return None
    atoms = path.images[path.highest]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideDomainWarning)  # told by images
        warnings.simplefilter("ignore", UnseenChargeWarning)
        return vibrations(model, atoms, free_atoms(atoms))
