"""What has changed between two structures."""

import numpy as np
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from numpy.testing import assert_allclose

from molnet.simulate.changes import bond_changes, displacements


def test_a_motion_as_a_whole_is_no_displacement() -> None:
    start = molecule("CH3CH2OH")
    end = start.copy()
    end.rotate(40, (1, 2, 3))
    end.translate([1.0, 2.0, 3.0])
    assert_allclose(displacements(start, end), 0.0, atol=1e-6)
    end.set_constraint(FixAtoms([0]))
    assert displacements(start, end).min() > 0.5


def test_atoms_move_along_with_a_cell() -> None:
    start = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    end = start.copy()
    end.set_cell(1.1 * start.cell.array, scale_atoms=True)
    assert_allclose(displacements(start, end), 0.0, atol=1e-9)
    end.positions[3, 0] += 0.8
    assert_allclose(displacements(start, end)[3], 0.7, atol=1e-9)


def test_bonds_that_break_and_form() -> None:
    start = molecule("H2O")
    end = start.copy()
    assert bond_changes(start, end) == []
    end.set_distance(0, 1, 1.15, fix=0)  # stretched, but not broken
    assert bond_changes(start, end) == []
    end.set_distance(0, 1, 2.5, fix=0)
    assert bond_changes(start, end) == ["O0-H1 broken"]
    assert bond_changes(end, start) == ["O0-H1 formed"]


def test_bonds_across_the_cell() -> None:
    start = bulk("Si", cubic=True)
    end = start.copy()
    end.positions += 1.5
    assert bond_changes(start, end) == []
    end.set_cell(np.diag([5.43, 5.43, 8.0]))
    assert any("broken" in change for change in bond_changes(start, end))
