"""Coordinates of a relaxation: their gradients by finite differences, and what each cell may do."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from molnet.graph import StructureError
from molnet.models import FrozenModel, Model
from molnet.simulate.coordinates import Coordinates
from molnet.simulate.many import Many, Potential

MakeModel = Callable[..., Model]


def strained_crystals() -> list[Atoms]:
    generator = np.random.default_rng(0)
    crystals = [bulk("Cu", "fcc", a=3.5, cubic=True), bulk("Cu", "hcp", a=2.5, c=4.0)]
    for atoms in crystals:
        strain = np.eye(3) + 0.03 * generator.standard_normal((3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += 0.05 * generator.standard_normal(atoms.positions.shape)
    return crystals


@pytest.mark.parametrize("cell", ["full", "volume"])
def test_forces_are_gradients_of_the_enthalpy(make_model: MakeModel, cell: str) -> None:
    many = Many(strained_crystals())
    pressure = 0.1 if cell == "full" else 0.0
    coordinates = Coordinates(many, cell, pressure)  # type: ignore[arg-type]
    potential = Potential(FrozenModel(make_model()), many)
    generator = np.random.default_rng(1)
    rows = coordinates.start()
    rows += 0.02 * generator.standard_normal(rows.shape)
    direction = generator.standard_normal(rows.shape)

    def enthalpies(at: np.ndarray) -> np.ndarray:
        evaluation = potential(*coordinates.structures(at))
        return coordinates.forces(at, evaluation)[0]

    evaluation = potential(*coordinates.structures(rows))
    _, downhill, _, _ = coordinates.forces(rows, evaluation)
    step = 1e-5
    slopes = (enthalpies(rows + step * direction) - enthalpies(rows - step * direction)) / 2 / step
    starts = np.cumsum(coordinates.rows) - coordinates.rows
    expected = -np.add.reduceat((downhill * direction).sum(axis=1), starts)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)
    assert np.abs(slopes).min() > 0.1, "the control: there is a slope"


def test_the_volume_or_the_shape_is_kept(make_model: MakeModel) -> None:
    many = Many(strained_crystals())
    generator = np.random.default_rng(1)
    volume = Coordinates(many, "volume")
    rows = volume.start() + 0.1 * generator.standard_normal(volume.start().shape)
    _, cells = volume.structures(rows)
    np.testing.assert_allclose(np.linalg.det(cells), np.linalg.det(many.cells), rtol=1e-12)
    assert np.abs(cells - many.cells).max() > 0.01

    shape = Coordinates(many, "hydrostatic")
    rows = shape.start()
    evaluation = Potential(FrozenModel(make_model()), many)(many.positions, many.cells)
    rows = rows + 0.01 * shape.forces(rows, evaluation)[1]
    _, cells = shape.structures(rows)
    scale = np.cbrt(np.linalg.det(cells) / np.linalg.det(many.cells))
    np.testing.assert_allclose(cells, scale[:, None, None] * many.cells, rtol=1e-12)
    assert np.abs(scale - 1).max() > 1e-3


def test_fixed_atoms_feel_no_forces(make_model: MakeModel) -> None:
    atoms = molecule("CH4")
    atoms.set_constraint(FixAtoms([0, 2]))
    many = Many([molecule("H2"), atoms])
    coordinates = Coordinates(many)
    evaluation = Potential(FrozenModel(make_model()), many)(many.positions, many.cells)
    _, downhill, largest, _ = coordinates.forces(coordinates.start(), evaluation)
    assert not downhill[[2, 4]].any()
    assert downhill[[0, 1, 3, 5, 6]].all(axis=1).sum() >= 3
    free = np.linalg.norm(evaluation.forces[[3, 5, 6]], axis=1).max()
    assert largest[1] == pytest.approx(free)


def test_only_crystals_have_cells_to_relax() -> None:
    with pytest.raises(StructureError, match="cell=fixed") as caught:
        Coordinates(Many([bulk("Cu"), molecule("H2")]), "full")
    assert caught.value.index == 1
    with pytest.raises(
        ValueError, match=r"cell=fixed\|volume\|hydrostatic\|full, received 'shape'"
    ):
        Coordinates(Many([bulk("Cu")]), "shape")  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["fixed", "volume"])
def test_a_pressure_needs_a_volume_that_changes(cell: str) -> None:
    with pytest.raises(ValueError, match=f"a pressure needs .*received cell={cell}"):
        Coordinates(Many(strained_crystals()), cell, pressure=50.0)  # type: ignore[arg-type]
