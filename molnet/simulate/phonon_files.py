"""Phonons of crystals from files: what is told, and what is written for phonopy and for people."""

import json
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from numpy.typing import NDArray

from molnet.simulate.phonons import AT_REST, WAVENUMBER, Phonons

TEMPERATURES = np.arange(0.0, 1001.0, 10.0)
"""K, of the table of thermal properties."""

REAL = -1.0
"""cm⁻¹: interpolation between supercells makes some slow modes slightly imaginary."""

SHOWN_STRESS = 0.1
"""GPa. A cell with more is not relaxed."""


@dataclass(frozen=True)
class PhononsOfFile:
    """The phonons of one crystal, and what was written.

    ``str(result)`` is a summary for people.

    Attributes:
        name: of the structure.
        phonons: what was found.
        temperature: K, of the free energy.
        force: the largest force on an atom, eV/Å.
        folder: where the files are.
    """

    name: str
    phonons: Phonons
    temperature: float
    force: float
    folder: Path

    @property
    def imaginary(self) -> bool:
        """Whether the crystal is unstable."""
        return self.phonons.lowest[0] < REAL

    def __str__(self) -> str:
        found = self.phonons
        formula = found.atoms.get_chemical_formula()
        atoms, moved = len(found.calculation.supercell), len(found.calculation.displacements)
        size = " × ".join(map(str, found.supercell))
        optical = found.optical
        free, entropy, capacity = found.thermal([self.temperature])[0]
        lines = [
            f"{self.name} ({formula}), {found.spacegroup}",
            f"supercell {size}, {atoms} atoms; displacements: {moved}",
            f"highest frequency {found.highest:.1f} cm⁻¹ ({found.highest / WAVENUMBER:.3f} THz)",
        ]
        if len(optical):
            lines.append(
                f"optical frequencies at Γ: {len(optical)}, from {shown(optical[0])} to "
                f"{shown(optical[-1])} cm⁻¹"
            )
        lines += [
            f"zero-point energy {found.zero_point_energy:.4f} eV of {formula}",
            f"free energy with phonons at {self.temperature:g} K: energy {free:+.4f} eV; "
            f"entropy {1000 * entropy:.3f} meV/K; heat capacity {1000 * capacity:.3f} meV/K",
        ]
        if self.imaginary:
            frequency, point = found.lowest
            where = ", ".join(f"{x:.3g}" for x in point)
            lines.append(
                f"imaginary frequencies, down to {shown(frequency)} cm⁻¹ at q = ({where}): the "
                "structure is no minimum, or the supercell is too small. The free energy leaves "
                "them out."
            )
        if found.stress > SHOWN_STRESS:
            lines.append(
                f"the cell is under a stress of {found.stress:.2g} GPa: molnet relax cell=full "
                "relaxes it"
            )
        return "\n".join([*lines, f"written to {self.folder}"])


def write_phonons(result: PhononsOfFile) -> None:
    """Writes the folder of a crystal, with ``phonons.json`` last.

    ``phonopy_params.yaml``, ``band.yaml``, ``total_dos.dat`` and ``thermal_properties.yaml`` are
    phonopy's own files: ``phonopy-load`` goes on with them.
    """
    found, folder, calculation = result.phonons, result.folder, result.phonons.calculation
    folder.mkdir(parents=True, exist_ok=True)
    ase.io.write(folder / "relaxed.extxyz", found.atoms)
    calculation.save(folder / "phonopy_params.yaml")
    calculation.write_yaml_band_structure(filename=folder / "band.yaml")
    calculation.write_total_dos(filename=folder / "total_dos.dat")
    calculation.run_thermal_properties(temperatures=TEMPERATURES, cutoff_frequency=AT_REST)
    calculation.write_yaml_thermal_properties(filename=folder / "thermal_properties.yaml")
    free, entropy, capacity = found.thermal([result.temperature])[0]
    content = {
        "units": {
            "frequencies": "cm^-1",
            "energies": "eV of the cell",
            "entropy": "eV/K of the cell",
            "heat_capacity": "eV/K of the cell",
        },
        "spacegroup": found.spacegroup,
        "supercell": found.supercell,
        "energy": found.energy,
        "zero_point_energy": found.zero_point_energy,
        "free_energy": found.energy + float(free),
        "entropy": float(entropy),
        "heat_capacity": float(capacity),
        "temperature (K)": result.temperature,
        "largest_force (eV/Å)": result.force,
        "largest_stress (GPa)": found.stress,
        "optical_frequencies": found.optical.tolist(),
        "highest_frequency": found.highest,
        "lowest_frequency": found.lowest[0],
    }
    (folder / "phonons.json").write_text(
        json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8"
    )


def shown(frequency: float) -> str:
    """A frequency in cm⁻¹; an imaginary one, a negative number, with an i.

    >>> shown(63.04), shown(-63.04)
    ('63.0', '63.0i')
    """
    return f"{abs(frequency):.1f}{'i' if frequency < 0 else ''}"


def thermal_table(phonons: Phonons) -> NDArray[np.float64]:
    """[T, 3] at :data:`TEMPERATURES`: free energy (eV), entropy and heat capacity (meV/K)."""
    return phonons.thermal(TEMPERATURES) * [1.0, 1000.0, 1000.0]
