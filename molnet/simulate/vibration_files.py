"""Vibrations of structures from files: relaxed first, tables and modes written, thermochemistry.

Molecules have normal modes, crystals phonons.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from molnet.graph import StructureError
from molnet.graph.frames import ReadingOptions, StructureFileError, frame_name
from molnet.models import FrozenModel, Model, PredictionError
from molnet.simulate.beforehand import relaxed_first
from molnet.simulate.inputs import with_folders
from molnet.simulate.motion import free_atoms
from molnet.simulate.phonon_files import PhononsOfFile, write_phonons
from molnet.simulate.phonons import MissingPhonopyError, Phonons, check_phonopy, phonons
from molnet.simulate.vibrations import Vibrations, vibrations

logger = logging.getLogger(__name__)

SHOWN_FORCE = 0.05
"""eV/Å. Above, a structure is no stationary point, and its frequencies mean little."""


@dataclass(frozen=True)
class Conditions:
    """What the free energy is of.

    Attributes:
        temperature: K.
        pressure: bar, of a molecule, as the next two.
        symmetry_number: how many rotations leave it as it is.
        spin: total spin, 0 for closed shells.

    Raises:
        ValueError: one of them is not possible.
    """

    temperature: float = 298.15
    pressure: float = 1.0
    symmetry_number: int = 1
    spin: float = 0.0

    def __post_init__(self) -> None:
        for name in ("temperature", "pressure"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(
                    f"expected {name} > 0 and finite, received {name}={getattr(self, name)}"
                )
        if self.symmetry_number < 1 or self.symmetry_number != int(self.symmetry_number):
            raise ValueError(
                "expected the number of rotations that leave a molecule as it is, 1 or more, "
                f"received symmetry_number={self.symmetry_number}"
            )
        if not 0 <= self.spin < np.inf or 2 * self.spin != int(2 * self.spin):
            raise ValueError(f"expected spin=0, 0.5, 1, ..., received spin={self.spin}")


@dataclass(frozen=True)
class VibrationsOfFile:
    """The vibrations of one structure, and what was written.

    ``str(result)`` is a table for people.

    Attributes:
        name: of the structure.
        vibrations: its modes.
        conditions: of the free energy.
        force: the largest force on an atom that vibrates, in eV/Å.
        folder: where modes and numbers are.
    """

    name: str
    vibrations: Vibrations
    conditions: Conditions
    force: float
    folder: Path

    @property
    def free_energy(self) -> float:
        """Of the ideal gas (Gibbs), or of the vibrations alone (Helmholtz), in eV."""
        return self.vibrations.free_energy(**vars(self.conditions))

    def __str__(self) -> str:
        found = self.vibrations
        formula = found.atoms.get_chemical_formula()
        intensity = "" if found.intensities is None else "  intensity (km/mol)"
        lines = [f"{self.name} ({formula})", f"mode  frequency (cm⁻¹){intensity}"]
        for number, frequency in enumerate(found.frequencies, 1):
            shown = f"{abs(frequency):.1f}{'i' if frequency < 0 else ' '}"
            line = f"{number:4}  {shown:>17}"
            if found.intensities is not None:
                line += f"  {found.intensities[number - 1]:18.1f}"
            lines.append(line)
        lines.append(f"zero-point energy {found.zero_point_energy:.4f} eV")
        at = self.conditions
        kind = (
            f"Gibbs energy of the ideal gas at {at.temperature:g} K and {at.pressure:g} bar"
            if found.free
            else f"free energy with vibrations at {at.temperature:g} K"
        )
        lines.append(f"{kind}: energy {self.free_energy - found.energy:+.4f} eV")
        if found.free:
            lines.append(
                f"(of symmetry number {at.symmetry_number} and spin {at.spin:g}; others: "
                "symmetry_number=2 spin=1)"
            )
        if found.imaginary:
            noun = "frequency is" if found.imaginary == 1 else "frequencies are"
            lines.append(
                f"{found.imaginary} {noun} imaginary (i): the structure is no minimum. The free "
                "energy leaves them out."
            )
        return "\n".join([*lines, f"written to {self.folder}"])


def vibrations_of_files(
    model: Model,
    input: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    fmax: float | None = 1e-3,
    indices: Sequence[int] | None = None,
    temperature: float = 298.15,
    pressure: float = 1.0,
    symmetry_number: int = 1,
    spin: float = 0.0,
    supercell: float | Sequence[int] | None = 10.0,
    symprec: float = 1e-5,
    reading: ReadingOptions | None = None,
) -> Iterator[VibrationsOfFile | PhononsOfFile]:
    """Relaxes every structure of one or several files, and finds its vibrations.

    Each structure has a folder with ``relaxed.extxyz``, ``frequencies.csv``, ``vibrations.json``
    (modes, Hessian, thermochemistry) and ``mode-NN.extxyz``, one period of each mode to look at.
    Crystals whose atoms are all free have phonons, see
    :func:`~molnet.simulate.phonon_files.write_phonons`.

    Args:
        model: with an energy and forces; best in float64.
        input: a file that ASE reads, a glob, or several.
        output: the folder; by default ``NAME.vibrations`` in the working folder. The folders of
            several structures lie in it.
        fmax: eV/Å, for the relaxation; None: the structures are taken as they are.
        indices: atoms that vibrate while the others are held; by default all, or those that no
            constraint fixes.
        temperature: K, of the free energy.
        pressure: bar, of molecules.
        symmetry_number: of molecules, how many rotations leave them as they are.
        spin: of molecules, the total spin, 0 for closed shells.
        supercell: of crystals, see :func:`~molnet.simulate.phonons.phonons`; None: the vibrations
            of their cells alone.
        symprec: likewise.
        reading: what the files leave open.

    Raises:
        StructureFileError: a structure cannot be read or evaluated; the message has file and frame.
        ValueError: settings that are not possible, or an output that holds vibrations already.
        MissingPhonopyError: there is a crystal, and phonopy is not installed.
    """
    conditions = Conditions(temperature, pressure, symmetry_number, spin)
    frozen = FrozenModel(model)
    structures = with_folders(input, output, "vibrations", "vibrations", reading)
    for (file, number, atoms), name, own in structures:
        place = frame_name(file, number)
        _check_empty(own)
        chosen = _atoms_that_vibrate(atoms, place) if indices is None else indices
        extended = supercell if chosen is None and atoms.pbc.all() else None
        if extended is not None:
            _check_phonopy(place)
        try:
            with _told_once(place):
                if fmax is not None:
                    (atoms,) = relaxed_first(frozen, [atoms], [place], fmax)
                found: Vibrations | Phonons
                if extended is None:
                    found = vibrations(frozen, atoms, chosen)
                else:
                    found = phonons(frozen, atoms, extended, symprec)
                force = _largest_force(frozen, atoms, chosen)
        except (StructureError, PredictionError, IndexError) as error:
            raise StructureFileError(f"{place}: {error}") from error
        if force > SHOWN_FORCE:
            logger.warning(
                "%s: the largest force is %.3f eV/Å, so this is no stationary point and its "
                "frequencies mean little. Relax it (fmax=0.001).",
                *(place, force),
            )
        if isinstance(found, Phonons):
            crystal = PhononsOfFile(name, found, temperature, force, own)
            write_phonons(crystal)
            yield crystal
        else:
            result = VibrationsOfFile(name, found, conditions, force, own)
            write(result)
            yield result


def _check_empty(folder: Path) -> None:
    if any((folder / name).exists() for name in ("vibrations.json", "phonons.json")):
        raise ValueError(
            f"{folder} holds vibrations already: choose another folder with output=FOLDER"
        )


def _check_phonopy(place: str) -> None:
    try:
        check_phonopy()
    except MissingPhonopyError as error:
        raise MissingPhonopyError(
            f"{place}: {error}. With supercell=null the cell vibrates alone"
        ) from error


def write(result: VibrationsOfFile) -> None:
    """Writes one structure's folder, with ``vibrations.json`` last."""
    found, folder = result.vibrations, result.folder
    folder.mkdir(parents=True, exist_ok=True)
    ase.io.write(folder / "relaxed.extxyz", found.atoms)
    width = len(str(len(found.frequencies)))
    for mode in range(len(found.frequencies)):
        ase.io.write(folder / f"mode-{mode + 1:0{width}}.extxyz", found.moving(mode))
    with (folder / "frequencies.csv").open("w", encoding="utf-8") as file:
        file.write("mode,frequency (cm^-1),intensity (km/mol)\n")
        for mode, frequency in enumerate(found.frequencies):
            intensity = "" if found.intensities is None else f"{found.intensities[mode]:.4f}"
            file.write(f"{mode + 1},{frequency:.4f},{intensity}\n")
    content = {
        "units": {
            "frequencies": "cm^-1",
            "energies": "eV",
            "hessian": "eV/Å^2",
            "modes": "amu^-1/2",
        },
        "energy": found.energy,
        "zero_point_energy": found.zero_point_energy,
        "free_energy": result.free_energy,
        "temperature (K)": result.conditions.temperature,
        "pressure (bar)": result.conditions.pressure if found.free else None,
        "symmetry_number": result.conditions.symmetry_number if found.free else None,
        "spin": result.conditions.spin if found.free else None,
        "largest_force (eV/Å)": result.force,
        "indices": found.indices.tolist(),
        "frequencies": found.frequencies.tolist(),
        "intensities": None if found.intensities is None else found.intensities.tolist(),
        "modes": found.modes.tolist(),
        "hessian": found.hessian.tolist(),
    }
    (folder / "vibrations.json").write_text(
        json.dumps(content, ensure_ascii=False), encoding="utf-8"
    )


@contextmanager
def _told_once(place: str) -> Iterator[None]:
    """Logs the warnings of this block, each once and with the structure's place."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        logger.warning("%s: %s", place, text)


def _largest_force(model: FrozenModel, atoms: Atoms, indices: Sequence[int] | None) -> float:
    (prediction,) = model.predict([atoms])
    forces = np.linalg.norm(prediction["forces"], axis=1)
    return float(forces[slice(None) if indices is None else indices].max(initial=0.0))


def _atoms_that_vibrate(atoms: Atoms, place: str) -> list[int] | None:
    """Those that no constraint holds; None for all."""
    others = {type(each).__name__ for each in atoms.constraints} - {"FixAtoms"}
    if others:
        raise StructureFileError(
            f"{place}: vibrations with {', '.join(sorted(others))} are not possible: atoms are "
            "free, or held as a whole (FixAtoms). Remove the constraint, or name the atoms that "
            "vibrate with indices=[...]"
        )
    if len(atoms) == 1 and not atoms.pbc.any():
        raise StructureFileError(f"{place}: one atom alone does not vibrate. Leave it out.")
    return free_atoms(atoms)
