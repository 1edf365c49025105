"""The benchmark's e3nn network is molnet's network: the same weights give the same numbers."""

from collections.abc import Callable

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph import from_atoms
from molnet.models import Model

NETWORK = {
    "cutoff": 4.0,
    "channels": 6,
    "num_layers": 3,
    "correlation": 1,
    "num_radial": 5,
    "radial_hidden": [7, 9],
    "envelope_power": 5,
    "num_knots": None,
}
STATISTICS = {
    "mean_neighbours": 3.7,
    "targets": {"energy": {"scale": 1.9, "references": {"H": -13.6, "C": -1027.1}}},
}
FORCES = {"energy": {"kind": "extensive", "forces": True}}


def make(l_max: int, heads: dict = FORCES, **network: object) -> Model:
    return Model({**NETWORK, "l_max": l_max, **network}, heads, [1, 6, 7, 8], STATISTICS)


@pytest.fixture
def twin_of(on_path: None) -> Callable[[Model], torch.nn.Module]:
    from benchmarking.twin import Twin

    return Twin


@pytest.fixture
def frames() -> list[Atoms]:
    """Molecules of several elements, one of them linear, and an isolated atom."""
    frames = [molecule(name) for name in ("CH3CH2OH", "C2H2", "HCN", "H")]
    for index, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=index)
    return frames


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("l_max", [1, 2])
def test_same_energies_and_forces(l_max: int, twin_of: Callable, frames: list[Atoms]) -> None:
    model = make(l_max)
    graph = from_atoms(frames, model.cutoff, torch.float64)
    ours, theirs = model(graph), twin_of(model)(graph)
    assert ours["forces"].abs().max() > 0.1
    torch.testing.assert_close(theirs["energy"], ours["energy"], rtol=0, atol=1e-10)
    torch.testing.assert_close(theirs["forces"], ours["forces"], rtol=0, atol=1e-10)


@pytest.mark.usefixtures("float64")
def test_same_gradients_of_a_loss_on_forces(twin_of: Callable, frames: list[Atoms]) -> None:
    """What a training step computes: derivatives of the forces by the weights."""
    model = make(2)
    twin = twin_of(model)
    graph = from_atoms(frames, model.cutoff, torch.float64)
    for module in (model, twin):
        module(graph)["forces"].square().sum().backward()
    ours, theirs = model.network.embedding.weight.grad, twin.embedding.weight.grad
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-9)
    for interaction, layer in zip(model.network.interactions, twin.layers, strict=True):
        torch.testing.assert_close(
            layer.linear_out.weight.grad, interaction.linear_out.weight.grad, rtol=1e-9, atol=1e-9
        )


@pytest.mark.usefixtures("float64")
def test_same_in_a_crystal(twin_of: Callable) -> None:
    model = make(2)
    crystal = bulk("C") * (2, 1, 1)
    crystal.rattle(0.1, seed=0)
    graph = from_atoms([crystal], model.cutoff, torch.float64)
    ours, theirs = model(graph), twin_of(model)(graph)
    for name in ("energy", "forces"):
        torch.testing.assert_close(theirs[name], ours[name], rtol=0, atol=1e-10)


@pytest.mark.usefixtures("float64")
def test_energies_alone(twin_of: Callable, frames: list[Atoms]) -> None:
    model = make(1, {"energy": {"kind": "extensive"}})
    graph = from_atoms(frames, model.cutoff, torch.float64)
    ours, theirs = model(graph), twin_of(model)(graph)
    assert theirs.keys() == ours.keys() == {"energy"}
    torch.testing.assert_close(theirs["energy"], ours["energy"], rtol=0, atol=1e-10)


@pytest.mark.usefixtures("float64")
def test_other_weights_are_told_apart(twin_of: Callable, frames: list[Atoms]) -> None:
    model = make(1)
    twin = twin_of(model)
    with torch.no_grad():
        model.network.interactions[0].self_connection.weight_views()["0e"][0, 0, 0] += 1e-3
    graph = from_atoms(frames, model.cutoff, torch.float64)
    assert (twin(graph)["energy"] - model(graph)["energy"]).abs().max() > 1e-8


@pytest.mark.parametrize("network", [{"num_knots": 128}, {"parity": True}])
def test_models_that_have_no_twin(network: dict, twin_of: Callable) -> None:
    with pytest.raises(ValueError, match=next(iter(network))):
        twin_of(make(1, **network))
