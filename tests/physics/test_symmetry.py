"""Predictions turn with the structure, and ignore where it is and how its atoms are numbered."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from molnet.graph import StructureError
from molnet.models import Model

HEADS = {
    "u0": {"kind": "extensive"},
    "homo": {"kind": "intensive"},
    "dipole": {"kind": "dipole"},
    "mu": {"kind": "dipole", "magnitude": True},
    "polarizability": {"kind": "polarizability"},
    "r2": {"kind": "spatial_extent"},
    "charges": {"kind": "charges"},
}
VECTORS, MATRICES = ("forces", "dipole"), ("stress", "polarizability")


def orthogonal(improper: bool) -> NDArray[np.float64]:
    matrix = Rotation.random(rng=3).as_matrix()
    return -matrix if improper else matrix


def turned(name: str, value: NDArray, matrix: NDArray[np.float64]) -> NDArray:
    if name in VECTORS:
        return value @ matrix.T
    return matrix @ value @ matrix.T if name in MATRICES else value


def transformed(atoms: Atoms, matrix: NDArray[np.float64], shift: float = 0.0) -> Atoms:
    moved = atoms.copy()
    moved.set_cell(atoms.cell @ matrix.T)
    moved.positions = atoms.positions @ matrix.T + shift
    return moved


def assert_equivariant(model: Model, atoms: Atoms, matrix: NDArray[np.float64]) -> None:
    before, after = model.predict([atoms, transformed(atoms, matrix, 7.0)])
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_allclose(
            after[name], turned(name, value, matrix), rtol=1e-12, atol=1e-10, err_msg=name
        )


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("structure", ["ethanol", "crystal"])
def test_energy_forces_and_stress_turn(
    model: Model, structure: str, improper: bool, request: pytest.FixtureRequest
) -> None:
    atoms = request.getfixturevalue(structure)
    assert_equivariant(model, atoms, orthogonal(improper))
    assert ("stress" in model.predict([atoms])[0]) == (structure == "crystal")


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("parity", [False, True])
def test_every_head_turns(
    make_model: Callable[..., Model], ethanol: Atoms, improper: bool, parity: bool
) -> None:
    assert_equivariant(make_model(HEADS, parity=parity), ethanol, orthogonal(improper))


def test_declared_tensors_turn(make_model: Callable[..., Model], ethanol: Atoms) -> None:
    model = make_model({"dipole": {"kind": "tensor", "irreps": "1o"}})
    assert_equivariant(model, ethanol, orthogonal(True))


def test_a_broken_model_is_found_out(model: Model, ethanol: Atoms) -> None:
    """Negative control: one wrong component of a tensor must fail the check."""

    def wrong(module: object, arguments: object, out: torch.Tensor) -> torch.Tensor:
        return out + 0.1 * (torch.arange(out.shape[1]) == out.shape[1] - 1)

    model.network.interactions[0].gate.register_forward_hook(wrong)
    with pytest.raises(AssertionError):
        assert_equivariant(model, ethanol, orthogonal(False))


def test_permuted_atoms(model: Model, ethanol: Atoms) -> None:
    order = np.random.default_rng(4).permutation(len(ethanol))
    first, second = model.predict([ethanol, ethanol[order]])
    np.testing.assert_allclose(second["energy"], first["energy"], rtol=1e-13)
    np.testing.assert_allclose(second["forces"], first["forces"][order], atol=1e-11)


def test_wrapped_atoms_and_supercells(model: Model, crystal: Atoms) -> None:
    moved = crystal.copy()
    moved.positions += [3, -5, 4] @ crystal.cell.array * [[1], [0]]
    first, second, supercell = model.predict([crystal, moved, crystal * (2, 1, 2)])
    np.testing.assert_allclose(second["energy"], first["energy"], rtol=1e-13)
    np.testing.assert_allclose(second["forces"], first["forces"], atol=1e-11)
    np.testing.assert_allclose(supercell["energy"], 4 * first["energy"], rtol=1e-13)
    np.testing.assert_allclose(supercell["stress"], first["stress"], atol=1e-11)


def test_far_apart_molecules_add_up(model: Model, ethanol: Atoms) -> None:
    water = molecule("H2O")
    water.positions += 50.0
    apart, one, other = model.predict([ethanol + water, ethanol, water])
    np.testing.assert_allclose(apart["energy"], one["energy"] + other["energy"], rtol=1e-14)
    np.testing.assert_allclose(
        apart["forces"], np.concatenate([one["forces"], other["forces"]]), atol=1e-11
    )


def test_an_orbital_energy_is_that_of_one_molecule_and_of_two_copies(
    make_model: Callable[..., Model], ethanol: Atoms
) -> None:
    copy, water = ethanol.copy(), molecule("H2O")
    copy.positions += 50.0
    water.positions += 50.0
    model = make_model({"homo": HEADS["homo"], "u0": HEADS["u0"]})
    one, two, mixed = model.predict([ethanol, ethanol + copy, ethanol + water])
    np.testing.assert_allclose(two["homo"], one["homo"], rtol=1e-13)
    np.testing.assert_allclose(two["u0"], 2 * one["u0"], rtol=1e-13)
    assert abs(mixed["homo"] - one["homo"]) > 1e-4


def test_company_in_a_batch_changes_no_head(
    make_model: Callable[..., Model], ethanol: Atoms
) -> None:
    model, water = make_model(HEADS), molecule("H2O")
    for name, alone in model.predict(ethanol).items():
        beside = model.predict([water, ethanol, water])[1][name]
        np.testing.assert_allclose(beside, alone, rtol=1e-12, atol=1e-11, err_msg=name)


def test_company_in_a_batch_changes_nothing(model: Model, ethanol: Atoms, crystal: Atoms) -> None:
    together = model.predict([crystal, ethanol, crystal])
    for alone, result in zip(
        model.predict([crystal, ethanol, crystal], batch_size=1), together, strict=True
    ):
        for name in alone:
            np.testing.assert_allclose(result[name], alone[name], rtol=1e-13, atol=1e-11)


def test_float32_predictions_turn_to_float_precision(model: Model, ethanol: Atoms) -> None:
    matrix = orthogonal(True)
    before, after = model.float().predict([ethanol, transformed(ethanol, matrix, 1.0)])
    scale = np.abs(before["forces"]).max()
    assert abs(before["energy"] - after["energy"]) < 1e-4
    assert np.abs(after["forces"] - before["forces"] @ matrix.T).max() < 2e-4 * scale
    assert before["energy"].dtype == np.float64
    assert before["forces"].dtype == np.float32


def test_isolated_atom_has_its_reference_plus_a_constant(model: Model) -> None:
    alone, shifted = model.predict([Atoms("O"), Atoms("O", positions=[[5.0, 1.0, 2.0]])])
    assert alone["energy"] == shifted["energy"]
    assert np.array_equal(alone["forces"], np.zeros((1, 3)))
    assert torch.get_default_dtype() == torch.float32  # predicting in float64 is no global state


def in_a_box(atoms: Atoms, edge: float, seed: int = 0) -> Atoms:
    """The same molecule somewhere in a skewed cell, each atom in any of its images."""
    rng = np.random.default_rng(seed)
    box = atoms.copy()
    box.set_cell(edge * np.array([[1, 0, 0], [0.2, 1, 0], [-0.1, 0.1, 1]]))
    box.pbc = True
    box.positions += rng.uniform(-9, 9, size=3)
    box.positions += rng.integers(-2, 3, size=(len(box), 3)) @ box.cell.array
    return box


@pytest.mark.parametrize("charge", [0, 1])
def test_a_molecule_in_a_periodic_box_is_the_molecule(
    make_model: Callable[..., Model], ethanol: Atoms, charge: int
) -> None:
    ethanol.info["charge"] = charge
    boxes = [in_a_box(ethanol, edge, seed) for seed, edge in enumerate((12.0, 12.0, 15.0, 40.0))]
    model = make_model(HEADS)
    alone, *boxed = model.predict([ethanol, *boxes])
    for result in boxed:
        for name, value in alone.items():
            np.testing.assert_allclose(result[name], value, rtol=1e-10, atol=1e-10, err_msg=name)
    (single,) = model.float().predict([boxes[1]])
    np.testing.assert_allclose(single["dipole"], alone["dipole"], atol=1e-4)


def test_dipoles_of_crystals_are_refused(make_model: Callable[..., Model], crystal: Atoms) -> None:
    model = make_model(HEADS)
    with pytest.raises(StructureError, match="Take a molecule out of its box") as caught:
        model.predict([molecule("H2O"), molecule("CH4"), crystal], batch_size=2)
    assert caught.value.index == 2
    assert "homo" in make_model({"homo": {"kind": "intensive"}}).predict([crystal])[0]
