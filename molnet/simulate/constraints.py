"""ASE's constraints of many structures, applied to flat arrays."""

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from numpy.typing import NDArray

from molnet.simulate.held import Held, HeldTogether
from molnet.simulate.many import Many

Array = NDArray[np.float64]


class Constraints:
    """The constraints with which G structures with N atoms came.

    Fixed atoms (``FixAtoms``) are a mask, and held coordinates of a kind are kept together; every
    other kind is asked structure by structure, as ASE itself does.

    Args:
        many: the structures.

    Attributes:
        fixed: [N], which atoms do not move.
        removed: [G], how many of the 3 n degrees of freedom of each structure they take.
    """

    def __init__(self, many: Many) -> None:
        self.many = many
        self.fixed = np.zeros(len(many.numbers), dtype=bool)
        self.removed = np.zeros(len(many), dtype=np.int64)
        self._others: list[tuple[slice, Atoms]] = []
        held: dict[str, list[tuple[int, Atoms, Held]]] = {}
        for place, atoms in enumerate(many.structures):
            others = []
            for constraint in atoms.constraints:
                self.removed[place] += constraint.get_removed_dof(atoms)
                if isinstance(constraint, FixAtoms):
                    self.fixed[many.first[place] + constraint.index] = True
                elif isinstance(constraint, Held):
                    kind = held.setdefault(constraint.coordinate.kind, [])
                    kind.append((int(many.first[place]), atoms, constraint))
                else:
                    others.append(constraint)
            if others:
                copy = atoms.copy()
                copy.set_constraint(others)
                self._others.append((many.atoms_of(place), copy))
        self._held = [HeldTogether(kind) for kind in held.values()]

    def positions(self, now: Array, proposed: Array) -> Array:
        """[N, 3], Å: what is allowed of a move from ``now`` to ``proposed``."""
        allowed = np.where(self.fixed[:, None], now, proposed)
        for held in self._held:
            held.adjust_positions(allowed)
        for part, atoms in self._others:
            atoms.positions = now[part]
            new = allowed[part].copy()
            for constraint in atoms.constraints:
                constraint.adjust_positions(atoms, new)
            allowed[part] = new
        return allowed

    def forces(self, positions: Array, forces: Array) -> Array:
        """[N, 3], eV/Å: without what the constraints take up."""
        allowed = np.where(self.fixed[:, None], 0.0, forces)
        for held in self._held:
            held.adjust_forces(positions, allowed)
        for part, atoms in self._others:
            atoms.positions = positions[part]
            new = allowed[part].copy()
            for constraint in atoms.constraints:
                constraint.adjust_forces(atoms, new)
            allowed[part] = new
        return allowed

    def momenta(self, positions: Array, momenta: Array) -> Array:
        """[N, 3]: likewise of momenta."""
        allowed = np.where(self.fixed[:, None], 0.0, momenta)
        for held in self._held:
            held.adjust_forces(positions, allowed)
        for part, atoms in self._others:
            atoms.positions = positions[part]
            new = allowed[part].copy()
            for constraint in atoms.constraints:
                constraint.adjust_momenta(atoms, new)
            allowed[part] = new
        return allowed
