"""What the parameters of a model are."""

import torch
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.models import Model
from molnet.models.parameters import roles

NETWORK = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}


def make(**heads: dict) -> Model:
    return Model(NETWORK, heads, [1, 8], {"mean_neighbours": 2.0}).double()


def test_each_parameter_has_one_role() -> None:
    model = make(energy={"kind": "extensive", "forces": True}, charges={"kind": "charges"})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [{names[id(parameter)] for parameter in role} for role in roles(model)]
    maps, others, readouts, biases, offset = found
    assert sorted(name for role in found for name in role) == sorted(names.values())
    assert offset == {"heads.energy.readout.2.bias"}
    assert "network.embedding.weight" in others
    assert "network.interactions.0.power.weight" in others
    assert {name for name in names.values() if name.endswith("bias")} == biases | offset
    assert readouts == {
        f"heads.{head}.readout.{layer}.weight" for head in ("energy", "charges") for layer in (0, 2)
    }
    assert "network.interactions.0.linear_in.weight" in maps


def test_weights_of_a_role_start_at_one_size() -> None:
    """The reason for which readouts have a rate of their own."""
    network = NETWORK | {"channels": 32, "radial_hidden": [32]}
    heads = {"energy": {"kind": "extensive", "forces": True}}
    model = Model(network, heads, [1, 8], {"mean_neighbours": 2.0})
    of = roles(model)
    for weight in (*of.maps, *of.others):
        assert 0.8 < weight.square().mean().sqrt() < 1.2
    for weight in of.readouts:
        assert weight.square().mean().sqrt() < 0.15


def test_forces_do_not_depend_on_the_offset() -> None:
    model = make(energy={"kind": "extensive", "forces": True})
    (offset,) = roles(model).offset
    graph = from_atoms([molecule("H2O")], 4.0, torch.float64)
    before = model(graph)
    with torch.no_grad():
        offset += 0.5
    after = model(graph)
    assert torch.allclose(after["energy"], before["energy"] + 1.5)
    assert torch.equal(after["forces"], before["forces"])


def test_an_energy_without_forces_has_no_offset() -> None:
    assert roles(make(u0={"kind": "extensive"})).offset == []
