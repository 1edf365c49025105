"""What a relaxation has changed: how far atoms have moved, and which bonds are others."""

import numpy as np
from ase import Atoms
from ase.build.rotate import rotation_matrix_from_points
from numpy.typing import NDArray

from molnet.graph.elements import SYMBOLS
from molnet.simulate.bonds import bonds_within

BOND, NO_BOND = 1.25, 1.45
"""In sums of covalent radii: closer than the first is a bond, farther than the second is none. What
lies between changes nothing, so that a bond that breathes is not told."""


def displacements(start: Atoms, end: Atoms) -> NDArray[np.float64]:
    """[N], how far each atom has moved, in Å.

    Without the motion as a whole, and of molecules without their rotation, unless constraints hold
    them in place. Atoms move along with a cell.
    """
    before, after = start.positions, end.positions
    if end.pbc.all():
        before = start.get_scaled_positions(wrap=False) @ end.cell.array
    if not end.constraints:
        before, after = before - before.mean(axis=0), after - after.mean(axis=0)
        if not end.pbc.any() and len(end) > 1:
            before = before @ rotation_matrix_from_points(before.T, after.T).T
    return np.asarray(np.linalg.norm(after - before, axis=1))


def bond_changes(start: Atoms, end: Atoms) -> list[str]:
    """Bonds that were broken or formed, as ``"C3-H8 broken"``, atoms counted from 0."""
    before, after = bonds_within(start, BOND), bonds_within(end, BOND)
    broken = before - bonds_within(end, NO_BOND) if before - after else set()
    formed = after - bonds_within(start, NO_BOND) if after - before else set()
    numbers = start.numbers
    return [
        f"{SYMBOLS[numbers[i]]}{i}-{SYMBOLS[numbers[j]]}{j} {what}"
        for bonds, what in ((broken, "broken"), (formed, "formed"))
        for i, j, *_ in sorted(bonds)
    ]
