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
    maps, others, offset = roles(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted(names[id(p)] for p in [*maps, *others, *offset]) == sorted(names.values())
    assert [names[id(p)] for p in offset] == ["heads.energy.readout.2.bias"]
    assert "network.embedding.weight" in {names[id(p)] for p in others}
    assert "network.interactions.0.power.weight" in {names[id(p)] for p in others}
    assert {p.dim() for p in maps} <= {1, 2}  # maps of irreps are flat
    assert not any(names[id(p)].endswith("bias") for p in maps)


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
