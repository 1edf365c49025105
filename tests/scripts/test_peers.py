"""Other codes' models get what they expect of molnet's graphs. Runs where they are installed."""

import importlib.util

import pytest
import torch
from ase.build import bulk, molecule
from torch import nn

from molnet.graph import from_atoms
from molnet.models import Model

pytestmark = [
    pytest.mark.usefixtures("on_path", "float64"),
    pytest.mark.parametrize("name", ["nequip", "schnetpack"]),
]


def make_peer(name: str, forces: bool) -> nn.Module:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    from benchmarking.peers import PEERS
    from benchmarking.systems import Size

    heads = {"energy": {"kind": "extensive", **({"forces": True} if forces else {})}}
    network = {
        "cutoff": 4.0,
        "channels": 4,
        "l_max": 1,
        "num_layers": 2,
        "correlation": 1,
        "num_knots": None,
    }
    model = Model(network, heads, [1, 6, 8], {"mean_neighbours": 4.0}).double()
    return PEERS[name].make(model, Size(4.0, 1, 4, 2))


def test_energies_add_and_forces_are_their_gradients(name: str) -> None:
    peer = make_peer(name, forces=True).eval()
    structures = [molecule("CH3OH"), molecule("H2O"), bulk("C") * (2, 1, 1)]
    for index, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=index)
    graphs = [from_atoms([atoms], 4.0, torch.float64) for atoms in structures]
    singles = torch.cat([peer(graph)["energy"] for graph in graphs])
    together = peer(from_atoms(structures, 4.0, torch.float64))
    torch.testing.assert_close(together["energy"], singles, rtol=1e-9, atol=1e-9)

    for graph in graphs:
        step = 1e-5 * torch.randn_like(graph.pos)
        forces = peer(graph)["forces"]
        energies = []
        for sign in (1, -1):
            moved = graph.clone()
            moved.pos = graph.pos + sign * step
            energies.append(peer(moved)["energy"])
        difference = (energies[1] - energies[0]).item() / 2
        torch.testing.assert_close((forces * step).sum().item(), difference, rtol=1e-5, atol=1e-12)


def test_energies_alone_are_trained(name: str) -> None:
    peer = make_peer(name, forces=False)
    outputs = peer(from_atoms([molecule("CH3OH"), molecule("H2O")], 4.0, torch.float64))
    assert outputs.keys() == {"energy"}
    outputs["energy"].square().sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in peer.parameters())
