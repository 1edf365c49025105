"""Structures moved along an internal coordinate: rigidly, or bent where they give way."""

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from scipy.sparse import diags_array
from scipy.spatial.transform import Rotation

from molnet.simulate.bonds import part_beyond
from molnet.simulate.changes import BOND, bonds_within
from molnet.simulate.held import Held
from molnet.simulate.internal_coordinate import STRAIGHT, CoordinateError, InternalCoordinate
from molnet.simulate.many import Many
from molnet.simulate.model_hessian import model_hessians, solver

Move = Callable[[Atoms, float], Atoms]
"""A copy of a structure in which the coordinate has another value."""

LARGEST_BEND = {"distance": 0.1, "angle": 5.0, "torsion": 10.0}
"""Å or degrees, for which one guess of the second derivatives serves."""

IMMOVABLE = 1e6
"""eV/Å², of fixed atoms, a thousand times as stiff as any bond."""

AS_IT_GIVES_WAY = "With relax=true the rest of the structure gives way."


def rigid_motion(atoms: Atoms, coordinate: InternalCoordinate) -> Move:
    """Moves the part of a molecule beyond the last bond of a coordinate, as it is.

    A distance: what hangs on the second atom moves along the line from the first. An angle: what
    hangs on the third atom turns about the second. A torsion: what hangs on the third atom turns
    about the bond from the second. Atoms closer than 1.25 times the sum of their covalent radii are
    bonded.

    Args:
        atoms: a structure with the bonds of all that are to be moved.
        coordinate: that it has.

    Raises:
        CoordinateError: no part can move alone (a ring, a crystal), or an atom of it is fixed.
    """
    before, first = (
        coordinate.atoms[-3:-1] if coordinate.kind == "torsion" else coordinate.atoms[-2:]
    )
    found, ends = part_beyond(bonds_within(atoms, BOND), before, first)
    symbols = atoms.get_chemical_symbols()
    pair = f"{symbols[before]}{before} and {symbols[first]}{first}"
    if not ends:
        raise CoordinateError(
            f"the bonds beyond {pair} go on into other periodic images, so that nothing can move "
            f"rigidly. {AS_IT_GIVES_WAY}"
        )
    if before in found:
        raise CoordinateError(
            f"{pair} also hang together by other bonds (a ring, or a distance that is no bond), so "
            f"that nothing can move rigidly. {AS_IT_GIVES_WAY}"
        )
    still, last = coordinate.atoms[: coordinate.atoms.index(first)], coordinate.atoms[-1]
    astray = [atom for atom in still if atom in found] + [last] * (last not in found)
    if astray:
        raise CoordinateError(
            f"atom {astray[0]} is not on its side of the bond between {pair}, so that nothing can "
            f"move rigidly. {AS_IT_GIVES_WAY}"
        )
    fixed = fixed_atoms(atoms) & set(found)
    if fixed:
        raise CoordinateError(
            f"atom {min(fixed)} is fixed by a constraint of the file and would move. Name the "
            "atoms in the reverse order, so that the other side moves."
        )
    part = np.array(list(found))
    images = np.array(list(found.values()))

    def move(given: Atoms, value: float) -> Atoms:
        moved = given.copy()
        steps, missing = coordinate.steps(given), coordinate.missing(given, value)
        own = given.positions[part] + images @ given.cell.array
        own -= own[0]  # the first atom of the part
        arm = steps[-2] if coordinate.kind == "torsion" else steps[-1]
        if coordinate.kind == "distance":
            own += arm * (1 + missing / np.linalg.norm(arm))
        else:
            axis = arm if coordinate.kind == "torsion" else np.cross(-steps[0], arm)
            turn = axis / np.linalg.norm(axis) * np.radians(missing)
            own = Rotation.from_rotvec(turn).apply(own + arm)
        moved.positions[part] = given.positions[before] + own
        return moved

    return move


def bending(coordinate: InternalCoordinate) -> Move:
    """Bends structures to another value, least where they are stiff by a guess from the geometry.

    All atoms move; bonds keep their lengths as well as they can. Serves rings.

    Args:
        coordinate: that the structures have.
    """

    def move(given: Atoms, value: float) -> Atoms:
        moved = given.copy()
        missing = coordinate.missing(given, value)
        parts = max(1, int(np.ceil(abs(missing) / LARGEST_BEND[coordinate.kind])))
        start = coordinate.value(given)
        fixed = list(fixed_atoms(given))
        stiff = np.zeros((len(given), 3))
        stiff[fixed] = IMMOVABLE
        held_fast = diags_array(stiff.ravel(), format="csr")
        for part in range(1, parts + 1):
            solve = solver(model_hessians(Many([moved]))[0] + held_fast)
            gradient = coordinate.gradient(moved)
            easiest = solve(gradient)
            easiest[fixed] = 0.0
            towards = coordinate.missing(moved, start + missing * part / parts)
            moved.positions += easiest * towards / (gradient * easiest).sum()
        Held(coordinate, value, fixed).adjust_positions(moved, moved.positions)
        return moved

    return move


def check_value(coordinate: InternalCoordinate, value: float) -> None:
    """Refuses values that a coordinate cannot have.

    Raises:
        CoordinateError: a distance that is not positive; an angle near 0 or 180, or beyond.
    """
    if not np.isfinite(value) or (coordinate.kind == "distance" and value <= 0):
        raise CoordinateError(f"expected distances > 0 Å, received {value:g}")
    if coordinate.kind == "angle" and not STRAIGHT <= value <= 180 - STRAIGHT:
        raise CoordinateError(
            f"expected angles from {STRAIGHT:g} to {180 - STRAIGHT:g}° (at 180° no direction is "
            f"set in which the angle bends), received {value:g}"
        )


def fixed_atoms(atoms: Atoms) -> set[int]:
    """The atoms that ``FixAtoms`` holds."""
    held = [one.index for one in atoms.constraints if isinstance(one, FixAtoms)]
    return {int(atom) for some in held for atom in some}


def free_atoms(atoms: Atoms) -> list[int] | None:
    """The atoms that no ``FixAtoms`` holds; None for all."""
    fixed = fixed_atoms(atoms)
    return [i for i in range(len(atoms)) if i not in fixed] if fixed else None
