"""What a model refuses, and what it reports of itself."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.models import Model, UnknownElementError

NETWORK = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}
STATISTICS = {"mean_neighbours": 2.0, "targets": {"u0": {"references": {"H": -13.6, "O": -2041.8}}}}


def make(heads: dict, **network: object) -> Model:
    return Model(NETWORK | network, heads, [1, 8], STATISTICS)


def test_unknown_element_names_structure_and_atom() -> None:
    model = make({"u0": {"kind": "extensive"}})
    with pytest.raises(UnknownElementError, match=r"Cl \(atom 1\).*knows H, O") as caught:
        model.predict([molecule("H2O")] * 3 + [Atoms("HCl", [[0, 0, 0], [1.3, 0, 0]])], 2)
    assert caught.value.index == 3


def test_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'extensive'"):
        make({"u0": {"kind": "extensiv"}})


def test_forces_need_an_energy() -> None:
    with pytest.raises(ValueError, match="'intensive'"):
        make({"homo": {"kind": "intensive", "forces": True}})


def test_two_sources_of_forces() -> None:
    head = {"kind": "extensive", "forces": True}
    with pytest.raises(ValueError, match="one head with forces"):
        make({"u0": head, "energy": head})


def test_no_head() -> None:
    with pytest.raises(ValueError, match="choose a target"):
        make({})


def test_degree_that_the_network_lacks() -> None:
    with pytest.raises(ValueError, match=r"set model\.l_max=2"):
        make({"polarizability": {"kind": "polarizability"}})


def test_parity_that_the_network_lacks() -> None:
    with pytest.raises(ValueError, match="parity=true"):
        make({"dipole": {"kind": "tensor", "irreps": "1e"}})


def test_large_totals_keep_their_digits_in_float32() -> None:
    """−2 MeV in float32 resolves 0.1 eV; the learned part must not drown in the references."""
    model = make({"u0": {"kind": "extensive"}})
    water = molecule("H2O", cell=[8.0, 8.0, 8.0])
    total = model.predict([water * (10, 10, 10)])[0]["u0"]
    single = model.predict([water])[0]["u0"]
    assert abs(total / 1000 - single) < 1e-5


def test_training_on_forces_leaves_stress_out() -> None:
    model = make({"u0": {"kind": "extensive", "forces": True}})
    crystal = Atoms("OH", [[0, 0, 0], [1, 0, 0]], cell=[3, 3, 3], pbc=True)
    graph = from_atoms([crystal], model.cutoff)
    assert model.train()(graph).keys() == {"u0", "forces"}
    assert model.eval()(graph).keys() == {"u0", "forces", "stress"}


def test_no_gradients_are_kept_when_none_are_wanted() -> None:
    model = make({"u0": {"kind": "extensive", "forces": True}}).eval()
    graph = from_atoms([molecule("H2O")], model.cutoff)
    with torch.no_grad():
        outputs = model(graph)
    assert not any(value.requires_grad for value in outputs.values())
    assert not graph.pos.requires_grad


def test_references_are_added() -> None:
    with_references = make({"u0": {"kind": "extensive"}})
    without = Model(NETWORK, {"u0": {"kind": "extensive"}}, [1, 8], {"mean_neighbours": 2.0})
    without.load_state_dict(with_references.state_dict())
    difference = (
        with_references.predict([molecule("H2O")])[0]["u0"]
        - (without.predict([molecule("H2O")])[0]["u0"])
    )
    np.testing.assert_allclose(difference, -2041.8 - 2 * 13.6, rtol=1e-12)


def test_positions_may_be_far_from_the_origin() -> None:
    """A position of 3e4 Å in float32 is good to 1e-3 Å; the edges must keep all their digits."""
    heads = {"u0": {"kind": "extensive", "forces": True}, "dipole": {"kind": "dipole"}}
    model = make(heads, l_max=1, channels=16)
    near, far = molecule("H2O"), molecule("H2O")
    far.positions += [1e4, -3e4, 2e4]
    here, there = model.predict([near, far])
    for name in here:
        np.testing.assert_allclose(there[name], here[name], atol=1e-6, rtol=1e-12)
    assert np.abs(here["forces"]).max() > 1e-3

    with torch.no_grad():  # negative control: positions rounded to float32
        rounded = model.eval()(from_atoms([far], model.cutoff, torch.float32))
    assert np.abs(rounded["forces"].numpy() - here["forces"]).max() > 1e-5


def test_results_can_be_differentiated_by_positions() -> None:
    """Vibrations from one more derivative: it must be that of the forces."""
    model = make({"u0": {"kind": "extensive", "forces": True}}).double().eval()
    water, step = molecule("H2O"), 1e-5
    graph = from_atoms([water], model.cutoff, torch.float64)
    graph.pos.requires_grad_()
    (slope,) = torch.autograd.grad(model(graph)["forces"][0, 2], graph.pos)
    forces = []
    for sign in (1, -1):
        moved = water.copy()
        moved.positions[1, 1] += sign * step
        forces.append(model.predict([moved])[0]["forces"][0, 2])
    assert slope[1, 1].item() == pytest.approx((forces[0] - forces[1]) / (2 * step), rel=1e-6)
    assert slope.abs().max() > 1e-3


@pytest.mark.parametrize("size", [0, -1])
def test_batches_of_nothing_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size >= 1, received {size}"):
        make({"u0": {"kind": "extensive"}}).predict([molecule("H2O")], batch_size=size)


def test_repulsion_is_part_of_energy_and_forces() -> None:
    heads = {"energy": {"kind": "extensive", "forces": True}}
    torch.manual_seed(0)
    without = make(heads).double()
    torch.manual_seed(0)
    model = make(heads, repulsion=True).double()
    near = Atoms("OH", [[0, 0, 0], [0, 0, 0.3]])
    far = molecule("H2O")
    (plain, same), (repelled, as_before) = without.predict([near, far]), model.predict([near, far])
    assert repelled["energy"] > plain["energy"] + 10
    assert repelled["forces"][1, 2] > plain["forces"][1, 2] + 100
    assert as_before["energy"] == same["energy"]

    graph = from_atoms([near], 4.0, torch.float64)
    trained = model.train()(graph)
    assert np.allclose(trained["forces"].detach().numpy(), repelled["forces"], atol=1e-9)
    step = 1e-5
    energies = [
        model.predict(Atoms("OH", [[0, 0, 0], [0, 0, 0.3 + shift]]))["energy"]
        for shift in (-step, step)
    ]
    assert repelled["forces"][1, 2] == pytest.approx(
        -(energies[1] - energies[0]) / (2 * step), rel=1e-6
    )


def test_with_a_repulsion_no_network_attracts_atoms_that_are_too_close() -> None:
    """A network that pulls with 100 eV/Å and more: with the repulsion atoms part all the same."""
    torch.manual_seed(0)
    model = make({"energy": {"kind": "extensive", "forces": True}}, repulsion=True).double()
    near = Atoms("OH", [[0, 0, 0], [0, 0, 0.2]])
    repelled = model.predict(near)["forces"][1, 2]
    with torch.no_grad():
        for weight in model.heads.parameters():
            weight *= 1e4
    assert model.predict(near)["forces"][1, 2] == pytest.approx(repelled, rel=1e-9)
    # Farther away the network does act.
    ordinary = Atoms("OH", [[0, 0, 0], [0, 0, 0.6]])
    assert abs(model.predict(ordinary)["forces"][1, 2]) > 100


def test_a_training_step_with_close_atoms_has_the_gradients_of_autograd() -> None:
    torch.manual_seed(0)
    model = make({"energy": {"kind": "extensive", "forces": True}}, repulsion=True).double()
    positions = [[0, 0, 0], [0, 0.1, 0.4], [0.9, 0, 0.2]]  # the first two 0.41 Å apart
    graph = from_atoms([Atoms("OHH", positions)], 4.0, torch.float64)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = []
    for by_positions in (False, True):
        graph.pos = graph.pos.detach().requires_grad_(by_positions)
        outputs = model(graph)
        loss = outputs["forces"].square().sum() + outputs["energy"].sum()
        found.append(torch.autograd.grad(loss, weights, allow_unused=True))
    for ours, expected in zip(*found, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-9)


def test_an_energy_without_forces_has_the_same_repulsion() -> None:
    """In predictions, in training, and in the shares of atoms."""
    models = []
    for head in ({"kind": "extensive"}, {"kind": "extensive", "forces": True}):
        torch.manual_seed(0)
        models.append(make({"u0": head, "alpha": {"kind": "extensive"}}, repulsion=True).double())
    alone, with_forces = models
    assert alone.energy is None
    assert alone.potential_energies == with_forces.potential_energies == ("u0",)
    graph = from_atoms([Atoms("OHH", [[0, 0, 0], [0, 0, 0.4], [0.9, 0, 0.2]])], 4.0, torch.float64)
    for recorded in (False, True):
        with torch.set_grad_enabled(recorded):
            ours, expected = alone(graph), with_forces(graph)
        assert "forces" not in ours
        for name in ("u0", "alpha"):
            assert torch.allclose(ours[name], expected[name], rtol=1e-12)
    assert alone.of_atoms("u0", graph).sum() == pytest.approx(ours["u0"].item(), rel=1e-12)

    graph.pos.requires_grad_()
    (gradients,) = torch.autograd.grad(alone(graph)["u0"].sum(), graph.pos)
    assert torch.allclose(-gradients, expected["forces"], rtol=1e-9)


def test_without_one_energy_only_the_network_knows_of_the_repulsion() -> None:
    """A fine-tuned network keeps the distances that it was trained with."""
    torch.manual_seed(0)
    model = make({"homo": {"kind": "intensive"}}, repulsion=True).double()
    assert model.potential_energies == ()
    found = [model.predict(Atoms("OH", [[0, 0, 0], [0, 0, r]]))["homo"] for r in (0.2, 0.3, 0.9)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert found[0] != pytest.approx(found[2], rel=1e-3)
