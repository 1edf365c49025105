"""Which part of a structure moves along a coordinate, and how."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from molnet.simulate.internal_coordinate import CoordinateError, InternalCoordinate
from molnet.simulate.motion import bending, check_value, rigid_motion


def moved_atoms(before: Atoms, after: Atoms) -> list[int]:
    far = np.linalg.norm(after.positions - before.positions, axis=1) > 1e-9
    return np.flatnonzero(far).tolist()


@pytest.mark.parametrize(
    ("atoms", "value", "part"),
    [
        ((0, 1, 2, 3), 100.0, [3]),  # the hydroxyl hydrogen about C-O
        ((3, 2, 1, 0), 100.0, [0, 4, 5, 6, 7, 8]),  # the rest about O-C
        ((0, 1, 2), 95.0, [2, 3]),
        ((1, 2), 2.5, [2, 3]),
    ],
)
def test_what_lies_beyond_the_bond_moves_as_it_is(
    atoms: tuple[int, ...], value: float, part: list[int]
) -> None:
    ethanol = molecule("CH3CH2OH")
    coordinate = InternalCoordinate(atoms)
    after = rigid_motion(ethanol, coordinate)(ethanol, value)
    assert coordinate.value(after) == pytest.approx(value)
    assert set(moved_atoms(ethanol, after)) <= set(part)
    for some in (part, [i for i in range(9) if i not in part]):
        np.testing.assert_allclose(
            after[some].get_all_distances(), ethanol[some].get_all_distances(), atol=1e-9
        )


def test_another_molecule_moves_as_a_whole() -> None:
    dimer = molecule("H2O") + molecule("H2O")
    dimer.positions[3:] += [0, 0, 3.0]
    after = rigid_motion(dimer, InternalCoordinate((0, 3)))(dimer, 5.0)
    assert moved_atoms(dimer, after) == [3, 4, 5]
    np.testing.assert_allclose(after.positions[3:] - dimer.positions[3:], [[0, 0, 2.0]] * 3)


def test_a_molecule_that_the_cell_cuts_stays_whole() -> None:
    whole = molecule("CH3CH2OH")
    whole.set_cell([8, 8, 8])
    whole.pbc = True
    cut = whole.copy()
    cut.wrap()
    coordinate = InternalCoordinate((3, 2, 1, 0))
    one, other = (
        rigid_motion(atoms, coordinate)(atoms, 70.0).get_all_distances(mic=True)
        for atoms in (whole, cut)
    )
    np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        ((0, 1), "C0 and C1 also hang together by other bonds .a ring"),
        ((6, 0, 1), "C0 and C1 also hang together"),
        ((6, 0, 3, 9), "C0 and C3 also hang together"),
    ],
)
def test_rings_do_not_move_rigidly(atoms: tuple[int, ...], words: str) -> None:
    with pytest.raises(CoordinateError, match=f"{words}.*relax=true"):
        rigid_motion(molecule("C6H6"), InternalCoordinate(atoms))


def test_what_else_does_not_move_rigidly() -> None:
    methane, ethanol = molecule("CH4"), molecule("CH3CH2OH")
    with pytest.raises(CoordinateError, match="H1 and H2 also hang together"):
        rigid_motion(methane, InternalCoordinate((1, 2)))
    with pytest.raises(CoordinateError, match="atom 4 is not on its side"):
        rigid_motion(ethanol, InternalCoordinate((0, 1, 2, 4)))
    with pytest.raises(CoordinateError, match="other periodic images"):
        rigid_motion(bulk("Cu", cubic=True), InternalCoordinate((0, 1)))
    ethanol.set_constraint(FixAtoms([3]))
    with pytest.raises(CoordinateError, match=r"atom 3 is fixed .* reverse order"):
        rigid_motion(ethanol, InternalCoordinate((0, 1, 2, 3)))


def test_rings_bend_where_they_give_way() -> None:
    ring = molecule("cyclobutane")
    ring.set_constraint(FixAtoms([0]))
    coordinate = InternalCoordinate((0, 2, 1, 3))
    start = coordinate.value(ring)
    after = bending(coordinate)(ring, start + 25)
    assert coordinate.missing(after, start + 25) == pytest.approx(0, abs=1e-8)
    np.testing.assert_array_equal(after.positions[0], ring.positions[0])
    before, now = ring.get_all_distances(), after.get_all_distances()
    bonded = (before > 0) & (before < 1.7)
    assert np.abs(now - before)[bonded].max() < 0.08
    assert np.abs(now - before).max() > 0.15


def test_values_that_cannot_be() -> None:
    with pytest.raises(CoordinateError, match="distances > 0 Å, received -1"):
        check_value(InternalCoordinate((0, 1)), -1.0)
    with pytest.raises(CoordinateError, match="angles from 1 to 179°"):
        check_value(InternalCoordinate((0, 1, 2)), 180.0)
    check_value(InternalCoordinate((0, 1, 2, 3)), -720.0)
