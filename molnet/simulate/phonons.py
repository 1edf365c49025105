"""Phonons of crystals: forces in displaced supercells by the model, all else by phonopy."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.cell import Cell
from ase.dft.kpoints import parse_path_string
from numpy.typing import NDArray

from molnet.models import FrozenModel, Model
from molnet.progress import progress
from molnet.simulate.hessian import check_predicted

if TYPE_CHECKING:
    from phonopy import Phonopy

Array = NDArray[np.float64]

DISPLACEMENT = 0.01
"""Å."""

ATOMS_AT_ONCE = 4000
"""Most atoms in the supercells that are evaluated together."""

PATH_SPACING = 0.004
"""1/Å (without 2 π), between two points of the band structure."""

MESH = 100.0
"""Å: the density of states is sampled as finely as in a supercell of this length."""

AT_REST = 0.01
"""THz. Slower modes are translations of the crystal; thermal properties leave them out."""

WAVENUMBER = 1e12 / (units._c * 100)
"""cm⁻¹ of 1 THz."""

EV_PER_KJ_PER_MOL = units.kJ / units.mol


class MissingPhonopyError(ValueError):
    """The package phonopy is not installed."""


class BandPath(NamedTuple):
    """Lines from one special point of the Brillouin zone to the next.

    Attributes:
        lines: [n, 3] each, in units of the primitive cell's reciprocal vectors.
        lengths: of the lines, 1/Å (without 2 π).
        labels: the names of the special points; where the path jumps, those of both sides.
        connected: whether the next line begins where this one ends.
    """

    lines: list[Array]
    lengths: list[float]
    labels: list[str]
    connected: list[bool]


@dataclass(frozen=True)
class Phonons:
    """The phonons of one crystal.

    Energies, entropies and heat capacities are those of the cell of :attr:`atoms`.

    Attributes:
        atoms: the crystal.
        supercell: how many cells along each vector were taken.
        calculation: phonopy's, with force constants, band structure, mesh and density of states.
        path: of the band structure.
        energy: of the cell, eV.
        stress: the largest component of the stress, GPa.
    """

    atoms: Atoms
    supercell: tuple[int, int, int]
    calculation: "Phonopy"
    path: BandPath
    energy: float
    stress: float

    @property
    def spacegroup(self) -> str:
        """As phonopy finds it, such as ``Fm-3m (225)``."""
        found = self.calculation.primitive_symmetry.dataset
        return f"{found.international} ({found.number})"

    @property
    def optical(self) -> Array:
        """[3 n - 3] for n atoms of the primitive cell: frequencies at q = 0 in cm⁻¹, ascending."""
        every = frequencies_at(self.calculation, [0.0, 0.0, 0.0])
        return np.sort(every[np.argsort(np.abs(every))[3:]])  # without the translations

    @property
    def bands(self) -> list[Array]:
        """[q, 3 n] for each line of the path: frequencies in cm⁻¹; imaginary ones are negative."""
        return [WAVENUMBER * line for line in self.calculation.band_structure.frequencies]

    @property
    def density(self) -> tuple[Array, Array]:
        """Frequencies in cm⁻¹, and the density of states there in modes per cm⁻¹ and cell."""
        found = self.calculation.total_dos
        return WAVENUMBER * found.frequency_points, self._cells * found.dos / WAVENUMBER

    @property
    def highest(self) -> float:
        """The highest frequency of mesh and path, cm⁻¹."""
        return max(float(self._of_mesh.max()), *(float(band.max()) for band in self.bands))

    @property
    def lowest(self) -> tuple[float, Array]:
        """The lowest frequency of mesh and path, cm⁻¹, and its q; negative: imaginary."""
        mesh = self.calculation.mesh
        rows = [self._of_mesh, *self.bands]
        points = [mesh.qpoints, *self.path.lines]
        every, at = np.concatenate([row.min(axis=1) for row in rows]), np.concatenate(points)
        return float(every.min()), np.asarray(at[every.argmin()])

    @property
    def zero_point_energy(self) -> float:
        """eV, of the modes with real frequencies."""
        return float(self.thermal([0.0])[0, 0])

    def thermal(self, temperatures: Sequence[float] | Array) -> Array:
        """[T, 3]: free energy in eV, entropy and heat capacity at constant volume in eV/K.

        Modes with imaginary frequencies, and translations, are left out.

        Args:
            temperatures: [T], K.
        """
        self.calculation.run_thermal_properties(
            temperatures=np.asarray(temperatures, dtype=float), cutoff_frequency=AT_REST
        )
        found = self.calculation.thermal_properties
        columns = (found.free_energy, found.entropy / 1000, found.heat_capacity / 1000)
        return np.stack(columns, axis=1) * self._cells * EV_PER_KJ_PER_MOL

    @property
    def _cells(self) -> float:
        """How many primitive cells the cell holds."""
        return len(self.atoms) / len(self.calculation.primitive)

    @property
    def _of_mesh(self) -> Array:
        return np.asarray(WAVENUMBER * self.calculation.mesh.frequencies)


def phonons(
    model: Model | FrozenModel,
    atoms: Atoms,
    supercell: float | Sequence[int] = 10.0,
    symprec: float = 1e-5,
) -> Phonons:
    """The phonons of a crystal that is at a minimum (relax it before).

    Forces that are left are subtracted from those in the displaced supercells.

    Args:
        model: with an energy and forces, best in float64.
        atoms: the crystal, periodic in three directions.
        supercell: how many cells along each vector, or the least height of the supercell in Å.
        symprec: Å, within which phonopy looks for symmetry, which saves displacements.

    Raises:
        MissingPhonopyError: phonopy is not installed.
        ValueError: the model predicts no forces, the structure is no crystal, or a setting is not
            possible.
        StructureError: the structure cannot be evaluated.
    """
    check_phonopy()
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise ValueError("expected a crystal, periodic in three directions")
    frozen = FrozenModel.of(model)
    check_predicted(frozen.model, "forces")
    (prediction,) = frozen.predict([atoms])
    multiples = multiples_of(atoms.cell, supercell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # phonopy's, that the primitive cell is smaller
        calculation = Phonopy(
            PhonopyAtoms(
                symbols=atoms.get_chemical_symbols(),
                cell=atoms.cell.handedness * atoms.cell.array,  # phonopy knows right-handed ones
                positions=atoms.positions,
                masses=atoms.get_masses(),
            ),
            np.diag(multiples),
            primitive_matrix="auto",
            symprec=symprec,
        )
    calculation.generate_displacements(distance=DISPLACEMENT)
    calculation.forces = _forces(frozen, calculation)
    calculation.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
    calculation.symmetrize_force_constants(show_drift=False)
    path = path_of(Cell(calculation.primitive.cell))
    calculation.run_band_structure(
        path.lines,
        path_connections=path.connected,
        labels=[label.replace("Γ", r"$\Gamma$") for label in path.labels],
    )
    calculation.run_mesh(MESH)
    calculation.run_total_dos()
    return Phonons(
        atoms.copy(),
        multiples,
        calculation,
        path,
        float(prediction[str(frozen.model.energy)]),
        float(np.abs(prediction["stress"]).max() / units.GPa),
    )


def check_phonopy() -> None:
    """Raises MissingPhonopyError if phonopy is not installed."""
    try:
        import phonopy  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "phonopy":
            raise
        raise MissingPhonopyError(
            "phonons of a crystal need the package phonopy: pip install phonopy"
        ) from error


def multiples_of(cell: Cell, supercell: float | Sequence[int]) -> tuple[int, int, int]:
    """How many cells along each vector a supercell takes.

    Args:
        cell: with three vectors.
        supercell: these numbers, or the least distance between opposite faces in Å.

    >>> multiples_of(Cell.new([4.0, 6.0, 12.0]), 10.0)
    (3, 2, 1)

    Raises:
        ValueError: a length, or a number, that is not positive.
    """
    if isinstance(supercell, int | float):
        if not 0 < supercell < np.inf:
            raise ValueError(f"expected a supercell with a length > 0 Å, received {supercell}")
        heights = 1 / np.linalg.norm(cell.reciprocal(), axis=1)
        a, b, c = np.ceil(supercell / heights - 1e-6).astype(int).tolist()
    elif len(supercell) == 3 and all(isinstance(n, int) and n > 0 for n in supercell):
        a, b, c = supercell
    else:
        raise ValueError(f"expected a supercell of three whole numbers > 0, received {supercell}")
    return a, b, c


def path_of(primitive: Cell) -> BandPath:
    """The path of Setyawan and Curtarolo, Comput. Mater. Sci. 49, 299 (2010).

    Args:
        primitive: the cell that frequencies are periodic in.
    """
    standard, reciprocal = primitive.bandpath(npoints=0), primitive.reciprocal()
    path = BandPath([], [], [], [])
    for part in parse_path_string(standard.path):
        for names in pairwise(part):
            start, end = (standard.special_points[name] for name in names)
            length = float(np.linalg.norm((end - start) @ reciprocal))
            path.lengths.append(length)
            path.lines.append(np.linspace(start, end, max(2, round(length / PATH_SPACING) + 1)))
            path.connected.append(True)
        path.connected[-1] = False
        path.labels.extend("Γ" if name == "G" else name for name in part)
    return path


def frequencies_at(calculation: "Phonopy", point: Sequence[float]) -> Array:
    """[3 n], cm⁻¹, ascending; imaginary ones are negative.

    Args:
        calculation: with force constants.
        point: q, in units of the primitive cell's reciprocal vectors.
    """
    calculation.run_qpoints([point])
    return np.asarray(WAVENUMBER * calculation.qpoints.frequencies[0])


def _forces(model: FrozenModel, calculation: "Phonopy") -> Array:
    """[S, N, 3]: what the displacements of S supercells with N atoms add to the forces, eV/Å."""
    cells = [calculation.supercell, *calculation.supercells_with_displacements]
    structures = [
        Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True, masses=cell.masses)
        for cell in cells
    ]
    at_once = max(1, ATOMS_AT_ONCE // len(structures[0]))
    forces: list[Array] = []
    with warnings.catch_warnings(), progress("displacements", len(cells), "supercells") as shown:
        warnings.simplefilter("ignore")  # of the displaced; the crystal itself was looked at
        for first in range(0, len(cells), at_once):
            part = structures[first : first + at_once]
            predictions = model.predict(part, at_once, lambda *_: None)
            forces += [prediction["forces"].astype(np.float64) for prediction in predictions]
            shown.advance(len(part))
    return np.stack(forces[1:]) - forces[0]
