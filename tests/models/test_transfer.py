"""The weights that a model takes from another one."""

from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.models import Model
from molnet.models.transfer import transfer

NETWORK: dict[str, Any] = {
    "cutoff": 4.0,
    "channels": 4,
    "l_max": 2,
    "num_layers": 2,
    "num_radial": 4,
    "radial_hidden": [8],
}
ENERGY = {"energy": {"kind": "extensive"}}
TENSORS = {"dipole": {"kind": "dipole"}, "polarizability": {"kind": "polarizability"}}
GRAPH = from_atoms([molecule("CH3OH"), molecule("C6H6")], 4.0, dtype=torch.float64)
ELEMENTS = [1, 6, 7, 8, 9]


def model_of(heads: dict[str, Any], species: list[int], **network: Any) -> Model:
    model = Model(NETWORK | network, heads, species, {"mean_neighbours": 5.0, "targets": {}})
    return model.double()


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("correlation", [2, 3])
def test_features_of_higher_degree_leave_the_others_as_they_are(
    parity: bool, correlation: int
) -> None:
    parent = model_of(ENERGY, ELEMENTS, parity=parity, correlation=correlation)
    model = model_of(ENERGY | TENSORS, [1, 6, 8], parity=parity, correlation=correlation)
    assert not torch.allclose(model(GRAPH)["energy"], parent(GRAPH)["energy"])
    moved = transfer(parent, model)
    torch.testing.assert_close(
        model.invariants(GRAPH)[0], parent.invariants(GRAPH)[0], rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(model(GRAPH)["energy"], parent(GRAPH)["energy"])
    assert moved.heads == {"energy": "energy"}
    assert moved.anew.keys() == TENSORS.keys()
    assert moved.layers == ()
    assert moved.widened == tuple(
        f"interactions.1.{name}.weight" for name in ("power", "linear_power", "self_connection")
    )


def test_features_that_no_head_wants_any_more_are_given_up() -> None:
    parent, model = model_of(ENERGY | TENSORS, ELEMENTS), model_of(ENERGY, ELEMENTS)
    moved = transfer(parent, model)
    torch.testing.assert_close(model(GRAPH)["energy"], parent(GRAPH)["energy"])
    assert (moved.layers, moved.widened, moved.anew) == ((), (), {})
    assert moved.loaded == sum(weight.numel() for weight in model.state_dict().values())


def test_heads_of_one_kind_go_on_beside_features_of_a_higher_degree() -> None:
    parent = model_of({"dipole": TENSORS["dipole"]}, ELEMENTS)
    model = model_of(TENSORS, ELEMENTS)
    moved = transfer(parent, model)
    torch.testing.assert_close(model(GRAPH)["dipole"], parent(GRAPH)["dipole"])
    assert moved.heads == {"dipole": "dipole"}


def test_messages_without_products_start_anew_and_so_do_the_heads() -> None:
    """Radial functions of other paths have no weights in common."""
    parent = model_of(ENERGY, ELEMENTS, correlation=1)
    model = model_of(ENERGY | TENSORS, ELEMENTS, correlation=1)
    moved = transfer(parent, model)
    assert any("radial" in name for name in moved.layers)
    assert moved.anew["energy"] == "as it reads what the network finds anew"
    assert not torch.allclose(model(GRAPH)["energy"], parent(GRAPH)["energy"])


def test_an_energy_goes_on_under_another_name_if_it_is_the_only_one() -> None:
    parent = model_of(ENERGY, ELEMENTS, repulsion=True)
    one, several = (
        model_of({name: {"kind": "extensive"} for name in names}, ELEMENTS, repulsion=True)
        for names in (("u0", "zpve"), ("u0", "h"))
    )
    assert transfer(parent, one).heads == {"u0": "energy"}
    torch.testing.assert_close(one(GRAPH)["u0"], parent(GRAPH)["energy"])
    assert transfer(parent, several).heads == {}


def test_all_energies_that_nuclei_feel_have_the_repulsion() -> None:
    names = ("u0", "h", "zpve", "alpha")
    model = model_of({name: {"kind": "extensive"} for name in names}, ELEMENTS, repulsion=True)
    assert model.potential_energies == ("u0", "h")
    pairs = [Atoms("OO", [[0, 0, 0], [0, 0, d]]) for d in (0.3, 0.4)]
    outputs = model(from_atoms(pairs, 4.0, dtype=torch.float64))
    u0, h, zpve, _ = (outputs[name].diff().item() for name in names)
    assert u0 == pytest.approx(h) != 0
    assert u0 < -10
    assert zpve == pytest.approx(0, abs=1e-9)


def test_vibrations_are_not_repelled_as_nuclei_are() -> None:
    heads = {"zpve": {"kind": "extensive"}}
    assert model_of(heads, ELEMENTS, repulsion=True).potential_energies == ()
    both = heads | {"u0": {"kind": "extensive"}}
    assert model_of(both, ELEMENTS, repulsion=True).potential_energies == ("u0",)


def test_the_energy_with_forces_goes_on_beside_other_energies() -> None:
    parent = model_of(ENERGY, ELEMENTS)
    heads = {"u0": {"kind": "extensive", "forces": True}, "h": {"kind": "extensive"}}
    assert transfer(parent, model_of(heads, ELEMENTS)).heads == {"u0": "energy"}
