"""Distances, angles and torsions, and how they are held, against ASE."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms

from molnet.simulate.constraints import Constraints
from molnet.simulate.held import Held
from molnet.simulate.internal_coordinate import CoordinateError, InternalCoordinate
from molnet.simulate.many import Many

KINDS = [(0, 2), (2, 0, 1), (0, 1, 2, 3)]


@pytest.fixture
def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize("atoms", KINDS)
def test_values_are_those_of_ase(ethanol: Atoms, atoms: tuple[int, ...]) -> None:
    by_ase = {2: ethanol.get_distance, 3: ethanol.get_angle, 4: ethanol.get_dihedral}
    expected = by_ase[len(atoms)](*atoms)
    assert InternalCoordinate(atoms).value(ethanol) == pytest.approx(expected)


@pytest.mark.parametrize("atoms", KINDS)
def test_gradients_are_those_of_finite_differences(ethanol: Atoms, atoms: tuple[int, ...]) -> None:
    coordinate = InternalCoordinate(atoms)
    gradient = coordinate.gradient(ethanol)
    for atom, x in product(range(len(ethanol)), range(3)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = ethanol.copy()
            moved.positions[atom, x] += step
            ends.append(coordinate.value(moved))
        assert gradient[atom, x] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_the_nearest_image_is_meant() -> None:
    chain = Atoms("OHH", [[0.2, 0, 0], [9.6, 0, 0], [0.5, 0.8, 0]], cell=[10, 10, 10], pbc=True)
    assert InternalCoordinate((0, 1)).value(chain) == pytest.approx(0.6)
    assert InternalCoordinate((1, 0, 2)).value(chain) == pytest.approx(
        chain.get_angle(1, 0, 2, mic=True)
    )


def test_torsions_go_the_shorter_way(ethanol: Atoms) -> None:
    coordinate = InternalCoordinate((0, 1, 2, 3))
    value = coordinate.value(ethanol)
    assert coordinate.missing(ethanol, value + 350) == pytest.approx(-10)
    assert coordinate.missing(ethanol, value - 370) == pytest.approx(-10)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        ((1,), r"expected two atoms .* received \[1\]"),
        ((0, 1, 2, 3, 4), "received .0,1,2,3,4."),
        ((0, 1, 0), "received 0 twice"),
        ((0, -1), "counted from 0, received -1"),
    ],
)
def test_what_is_no_coordinate_is_refused(atoms: tuple[int, ...], words: str) -> None:
    with pytest.raises(CoordinateError, match=words):
        InternalCoordinate(atoms)


def test_what_a_structure_does_not_have_is_refused(ethanol: Atoms) -> None:
    with pytest.raises(CoordinateError, match="from 0 to 8, received 9"):
        InternalCoordinate((0, 9)).check(ethanol)
    with pytest.raises(CoordinateError, match="atoms 2, 0, 1 are in a line"):
        InternalCoordinate((2, 0, 1, 3)).check(molecule("C2H2"))
    InternalCoordinate((0, 1, 2, 3)).check(ethanol)


def test_coordinates_of_many_structures_are_held_together(ethanol: Atoms) -> None:
    rng = np.random.default_rng(0)
    structures, values = [], []
    for atoms, fixed in product(KINDS, ([], [0, 5])):
        held = ethanol.copy()
        value = InternalCoordinate(atoms).value(ethanol) * 1.02
        own = Held(InternalCoordinate(atoms), value, fixed)
        held.set_constraint([FixAtoms(fixed), own] if fixed else [own])
        structures.append(held)
        values.append(value)
    many = Many(structures)
    constraints = Constraints(many)
    moved = many.positions + rng.normal(0, 0.05, many.positions.shape)
    allowed = constraints.positions(many.positions, moved)
    forces = rng.normal(size=moved.shape)
    left = constraints.forces(allowed, forces)
    for place, (atoms, value) in enumerate(zip(structures, values, strict=True)):
        part = many.atoms_of(place)
        now = atoms.copy()
        now.set_constraint()
        now.positions = allowed[part]
        held = atoms.constraints[-1]
        assert held.coordinate.missing(now, value) == pytest.approx(0, abs=1e-8)
        np.testing.assert_array_equal(allowed[part][held.fixed], atoms.positions[held.fixed])
        assert not left[part][held.fixed].any()
        gradient = held.coordinate.gradient(now)
        assert (gradient * left[part]).sum() == pytest.approx(0, abs=1e-8)
        # Nothing but the part along the coordinate is taken out.
        taken = np.delete(forces[part] - left[part], held.fixed, axis=0)
        along = np.delete(gradient, held.fixed, axis=0)
        scale = (taken * along).sum() / (along**2).sum()
        np.testing.assert_allclose(taken, scale * along, atol=1e-12)
    # ASE uses the same constraint one by one.
    alone = structures[0].copy()
    alone.set_positions(moved[many.atoms_of(0)])
    np.testing.assert_allclose(alone.positions, allowed[many.atoms_of(0)], atol=1e-8)
