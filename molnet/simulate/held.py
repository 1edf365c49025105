"""Internal coordinates that are held while everything else moves."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.constraints import FixConstraint
from numpy.typing import NDArray

from molnet.simulate.internal_coordinate import InternalCoordinate, derivatives_of, missing_to

Array = NDArray[np.float64]

EXACT = 1e-9
"""Å or degrees, how well a coordinate is held."""

CORRECTIONS = 50
"""Most Newton steps to the value of a coordinate; two to four are usual."""


class Held(FixConstraint):
    """A constraint, as ASE has them, that holds an internal coordinate at a value.

    ASE's own, ``FixInternals``, also takes out rotations, which fixed atoms and crystals have none
    of. The cell must not move.

    Args:
        coordinate: what is held.
        value: where, in Å or degrees.
        fixed: atoms that other constraints do not let move; not all of the coordinate's.
    """

    def __init__(
        self, coordinate: InternalCoordinate, value: float, fixed: Sequence[int] = ()
    ) -> None:
        self.coordinate, self.value, self.fixed = coordinate, value, list(fixed)

    def get_removed_dof(self, atoms: Atoms) -> int:
        """One."""
        return 1

    def adjust_positions(self, atoms: Atoms, new: Array) -> None:
        """Brings new positions [N, 3] to the value, in place."""
        HeldTogether([(0, atoms, self)]).adjust_positions(new)

    def adjust_forces(self, atoms: Atoms, forces: Array) -> None:
        """Takes out, in place, the part of forces [N, 3] along the coordinate."""
        HeldTogether([(0, atoms, self)]).adjust_forces(atoms.positions, forces)


class HeldTogether:
    """Held coordinates of the same kind in several structures, one in each.

    Args:
        held: the first row of each structure in the flat arrays, the structure, and what holds it.
    """

    def __init__(self, held: Sequence[tuple[int, Atoms, Held]]) -> None:
        kept = [(first, atoms, one, list(one.coordinate.atoms)) for first, atoms, one in held]
        self._rows = np.array([[first + a for a in chosen] for first, _, _, chosen in kept])
        self._values = np.array([one.value for _, _, one, _ in kept])
        self._moves = np.array([[a not in one.fixed for a in c] for _, _, one, c in kept])
        # Of periodic structures: the images that are meant at first are meant throughout.
        self._images = np.array(
            [
                one.coordinate.steps(atoms) - np.diff(atoms.positions[c], axis=0)
                for _, atoms, one, c in kept
            ]
        )

    def adjust_positions(self, positions: Array) -> None:
        """Brings positions [N, 3] to the values, in place, along the gradients."""
        own = positions[self._rows]
        for _ in range(CORRECTIONS):
            steps = np.diff(own, axis=1) + self._images
            missing = missing_to(self._values, steps)
            if (np.abs(missing) < EXACT).all():
                break
            gradients = self._gradients(steps)
            own += gradients * (missing / (gradients**2).sum(axis=(1, 2)))[:, None, None]
        positions[self._rows] = own

    def adjust_forces(self, positions: Array, forces: Array) -> None:
        """Takes out, in place, the parts of forces [N, 3] along the coordinates."""
        gradients = self._gradients(np.diff(positions[self._rows], axis=1) + self._images)
        own = forces[self._rows]
        along = (gradients * own).sum(axis=(1, 2)) / (gradients**2).sum(axis=(1, 2))
        forces[self._rows] = own - gradients * along[:, None, None]

    def _gradients(self, steps: Array) -> Array:
        return np.asarray(derivatives_of(steps) * self._moves[:, :, None])
