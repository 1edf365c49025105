"""Distances, angles and torsions of atoms: their values and derivatives."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.geometry import (
    find_mic,
    get_angles,
    get_angles_derivatives,
    get_dihedrals,
    get_dihedrals_derivatives,
    get_distances_derivatives,
)
from numpy.typing import NDArray

Array = NDArray[np.float64]

KINDS = {2: "distance", 3: "angle", 4: "torsion"}
"""By the number of atoms."""

STRAIGHT = 1.0
"""Degrees. Nearer to 0 or 180 an angle has no derivative, and no torsion about its arms."""


class CoordinateError(ValueError):
    """An internal coordinate that a structure does not have, or that cannot be changed as asked."""


@dataclass(frozen=True)
class InternalCoordinate:
    """A distance in Å between two atoms, or an angle or a torsion in degrees.

    Periodic structures: of each atom the image nearest to the atom before it is meant.

    Args:
        atoms: two, three or four, counted from 0. An angle is at the second; a torsion is about the
            bond from the second to the third, from 0 to 360 as ASE's ``get_dihedral``.

    Raises:
        CoordinateError: another number of atoms, one that is named twice or is negative.
    """

    atoms: tuple[int, ...]

    def __post_init__(self) -> None:
        listed = ",".join(map(str, self.atoms))
        if len(self.atoms) not in KINDS:
            raise CoordinateError(
                "expected two atoms (a distance), three (an angle) or four (a torsion), counted "
                f"from 0, received [{listed}]"
            )
        if twice := [atom for atom in self.atoms if self.atoms.count(atom) > 1]:
            raise CoordinateError(
                f"expected different atoms, received {twice[0]} twice: [{listed}]"
            )
        if min(self.atoms) < 0:
            raise CoordinateError(
                f"expected atoms counted from 0, received {min(self.atoms)}: [{listed}]"
            )

    @property
    def kind(self) -> str:
        """``distance``, ``angle`` or ``torsion``."""
        return KINDS[len(self.atoms)]

    @property
    def unit(self) -> str:
        """Å or °."""
        return "Å" if self.kind == "distance" else "°"

    @property
    def label(self) -> str:
        """Kind and unit, such as ``torsion (°)``."""
        return f"{self.kind} ({self.unit})"

    def name(self, atoms: Atoms) -> str:
        """Such as ``torsion C0-C1-O2-H8``."""
        symbols = atoms.get_chemical_symbols()
        return f"{self.kind} {'-'.join(f'{symbols[atom]}{atom}' for atom in self.atoms)}"

    def check(self, atoms: Atoms) -> None:
        """Refuses a structure that does not have this coordinate.

        Raises:
            CoordinateError: an atom is not there, or three in a line leave the torsion open.
        """
        if max(self.atoms) >= len(atoms):
            raise CoordinateError(
                f"expected atoms from 0 to {len(atoms) - 1}, received {max(self.atoms)}"
            )
        for some in (self.atoms[:3], self.atoms[1:]) if self.kind == "torsion" else ():
            if not STRAIGHT < InternalCoordinate(some).value(atoms) < 180 - STRAIGHT:
                listed = ", ".join(map(str, some))
                raise CoordinateError(
                    f"the atoms {listed} are in a line, so that no torsion about it is defined. "
                    "Name an atom beyond the line instead."
                )

    def value(self, atoms: Atoms) -> float:
        """Å or degrees."""
        return float(values_of(self.steps(atoms)[None])[0])

    def steps(self, atoms: Atoms) -> Array:
        """[atoms - 1, 3], from each atom to the next, in Å."""
        steps = np.diff(atoms.positions[list(self.atoms)], axis=0)
        return np.asarray(find_mic(steps, atoms.cell, atoms.pbc)[0] if atoms.pbc.any() else steps)

    def missing(self, atoms: Atoms, value: float) -> float:
        """What is missing to a value; of torsions the shorter way, from -180 to 180."""
        return float(missing_to(np.array([value]), self.steps(atoms)[None])[0])

    def gradient(self, atoms: Atoms) -> Array:
        """[N, 3], derivatives by the positions of all atoms: without a unit, or degrees/Å."""
        gradient = np.zeros((len(atoms), 3))
        gradient[list(self.atoms)] = derivatives_of(self.steps(atoms)[None])[0]
        return gradient


def values_of(steps: Array) -> Array:
    """[M], Å or degrees.

    Args:
        steps: [M, K - 1, 3], from each of K atoms to the next, in Å.
    """
    if steps.shape[1] == 1:
        return np.asarray(np.linalg.norm(steps[:, 0], axis=1))
    if steps.shape[1] == 2:
        return np.asarray(get_angles(-steps[:, 0], steps[:, 1]))
    return np.asarray(get_dihedrals(*steps.transpose(1, 0, 2)))


def missing_to(values: Array, steps: Array) -> Array:
    """[M], what is missing to the values; of torsions the shorter way, from -180 to 180."""
    missing = values - values_of(steps)
    return (missing + 180) % 360 - 180 if steps.shape[1] == 3 else missing


def derivatives_of(steps: Array) -> Array:
    """[M, K, 3], derivatives of the values by the positions: without a unit, or degrees/Å."""
    if steps.shape[1] == 1:
        return np.asarray(get_distances_derivatives(steps[:, 0]))
    if steps.shape[1] == 2:
        return np.asarray(get_angles_derivatives(-steps[:, 0], steps[:, 1]))
    return np.asarray(get_dihedrals_derivatives(*steps.transpose(1, 0, 2)))
