"""Second derivatives by differentiation against differences of forces."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from molnet.models import Model
from molnet.simulate import Calculator
from molnet.simulate.hessian import dipole_derivatives, hessian

MakeModel = Callable[..., Model]


@pytest.fixture(scope="module")
def network_model() -> Model:
    """Untrained, in float64, with a head for forces and one for dipoles."""
    torch.manual_seed(0)
    network = {"cutoff": 3.0, "channels": 8, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}
    heads = {"energy": {"kind": "extensive", "forces": True}, "dipole": {"kind": "dipole"}}
    statistics = {"mean_neighbours": 5.0, "targets": {"energy": {"scale": 3.0}}}
    return Model(network, heads, [1, 6, 8, 14], statistics).double().eval()


def differences(model: Model, atoms: Atoms, name: str, step: float = 3e-5) -> np.ndarray:
    """∂(property)/∂r by central differences, [..., N, 3]."""
    calculator = Calculator(model)
    columns = []
    for atom in range(len(atoms)):
        for x in range(3):
            ends = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, x] += sign * step
                ends.append(np.array(calculator.get_property(name, moved)))
            columns.append((ends[0] - ends[1]) / (2 * step))
    return np.stack(columns, axis=-1).reshape(*ends[0].shape, len(atoms), 3)


def silicon() -> Atoms:
    atoms = bulk("Si", "diamond", a=4.2)
    atoms.rattle(0.05, seed=0)
    return atoms


STRUCTURES = {"molecule": molecule("CH3OH"), "crystal": silicon(), "atom": Atoms("H")}


@pytest.mark.parametrize("name", STRUCTURES)
def test_hessian_is_that_of_differences(network_model: Model, name: str) -> None:
    model = network_model
    if name == "crystal":  # dipoles are for molecules
        heads = {"energy": {"kind": "extensive", "forces": True}}
        torch.manual_seed(0)
        model = Model(model.config["network"], heads, [14], {"mean_neighbours": 5.0}).double()
    found = hessian(model, STRUCTURES[name])
    expected = -differences(model, STRUCTURES[name], "forces")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * max(1, np.abs(found).max()))
    assert name == "atom" or np.abs(found).max() > 0.01
    np.testing.assert_allclose(found.sum(axis=2), 0, atol=1e-9)  # a translation costs nothing


def test_some_atoms_alone(network_model: Model) -> None:
    whole = hessian(network_model, STRUCTURES["molecule"])
    part = hessian(network_model, STRUCTURES["molecule"], [4, 1])
    np.testing.assert_allclose(part, whole[[4, 1]][:, :, [4, 1]], rtol=0, atol=1e-12)
    with pytest.raises(IndexError, match="from 0 to 5, received 6"):
        hessian(network_model, STRUCTURES["molecule"], [0, 6])


def test_copies_in_parts_change_nothing(
    network_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hessian(network_model, STRUCTURES["molecule"])
    monkeypatch.setattr("molnet.simulate.hessian.MAX_ATOMS", 7)
    parts = hessian(network_model, STRUCTURES["molecule"])
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-12)


def test_dipole_derivatives_are_those_of_differences(network_model: Model) -> None:
    found = dipole_derivatives(network_model, STRUCTURES["molecule"])
    expected = differences(network_model, STRUCTURES["molecule"], "dipole")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)
    assert np.abs(found).max() > 1e-3


def test_a_model_without_the_property_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ValueError, match="predicts no forces, only homo"):
        hessian(make_model("homo"), STRUCTURES["molecule"])
    with pytest.raises(ValueError, match="predicts no dipole, only energy, forces"):
        dipole_derivatives(make_model(), STRUCTURES["molecule"])
