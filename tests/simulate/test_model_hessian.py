"""The guess of the second derivatives from the geometry."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from numpy.testing import assert_allclose

from molnet.graph import StructureError
from molnet.simulate.many import Many
from molnet.simulate.model_hessian import FLOOR, model_hessians, solver


def test_it_knows_stiff_and_soft_motions() -> None:
    ethane = molecule("C2H6")
    (hessian,) = model_hessians(Many([ethane]))
    matrix = hessian.toarray()
    assert_allclose(matrix, matrix.T, atol=1e-9)
    curvatures = np.linalg.eigvalsh(matrix)
    # Six motions as a whole cost nothing, the rotation of one methyl group little, bonds much.
    assert_allclose(curvatures[:6], FLOOR, atol=1e-3)
    assert FLOOR < curvatures[6] < FLOOR + 1.0
    assert curvatures[7] > FLOOR + 1.0
    assert 40.0 < curvatures[-1] < 200.0


def test_straight_molecules_bend_in_two_directions() -> None:
    (hessian,) = model_hessians(Many([molecule("C2H2")]))
    curvatures = np.linalg.eigvalsh(hessian.toarray())
    assert_allclose(curvatures[:5], FLOOR, atol=1e-3)
    assert curvatures[5] > FLOOR + 0.5  # three stretches, two bends twice


def test_structures_and_batches_agree() -> None:
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.02, seed=0)
    structures = [molecule("CH3CH2OH"), crystal, Atoms("He")]
    together = model_hessians(Many(structures))
    for atoms, hessian in zip(structures, together, strict=True):
        (alone,) = model_hessians(Many([atoms]))
        assert_allclose(hessian.toarray(), alone.toarray(), atol=1e-9)
    moved = crystal.copy()
    moved.positions += [1.0, 2.0, 3.0]
    moved.wrap()
    (hessian,) = model_hessians(Many([moved]))
    assert_allclose(hessian.toarray(), together[1].toarray(), atol=1e-9)


def test_large_matrices_are_inverted_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    (hessian,) = model_hessians(Many([molecule("C6H6")]))
    rows = np.random.default_rng(0).standard_normal((12, 3))
    dense = solver(hessian)(rows)
    monkeypatch.setattr("molnet.simulate.model_hessian.DENSE", 0)
    assert_allclose(solver(hessian)(rows), dense, atol=1e-12)
    assert_allclose(hessian @ dense.ravel(), rows.ravel(), atol=1e-9)


def test_the_structure_at_fault_is_named() -> None:
    with pytest.raises(StructureError) as caught:
        model_hessians(Many([molecule("H2O"), Atoms("H2", np.zeros((2, 3)))]))
    assert caught.value.index == 1
