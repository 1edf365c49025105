"""The repulsion of nuclei: its formula, its range, its derivatives, what it shows to a network."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.graph.elements import COVALENT_RADII
from molnet.nn import Repulsion


def repulsion(numbers: list[int]) -> Repulsion:
    return Repulsion(numbers, COVALENT_RADII[numbers].tolist())


def pair(distance: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Carbon and oxygen, species 0 and 1."""
    vectors = torch.tensor([[0.0, 0.0, distance], [0.0, 0.0, -distance]], dtype=torch.float64)
    return torch.tensor([0, 1]), vectors, torch.tensor([1, 0]), torch.tensor([0, 1])


def test_formula() -> None:
    # Carbon and oxygen at 0.5 Å, number by number: a = 0.4685/(6^0.23 + 8^0.23) = 0.150086 Å.
    x = 0.5 / (0.46850 / (6**0.23 + 8**0.23))
    phi = (
        0.18175 * math.exp(-3.19980 * x)
        + 0.50986 * math.exp(-0.94229 * x)
        + 0.28022 * math.exp(-0.40290 * x)
        + 0.02817 * math.exp(-0.20162 * x)
    )
    t = 0.5 / (0.75 * (0.76 + 0.66))
    envelope = 1 - 28 * t**6 + 48 * t**7 - 21 * t**8
    expected = 14.399645 * 6 * 8 / 0.5 * phi * envelope
    found, _ = repulsion([6, 8])(*pair(0.5))
    assert found.sum().item() == pytest.approx(expected, rel=1e-9)
    assert found[0] == found[1]
    assert 50 < expected < 150  # eV


def test_it_falls_all_the_way_and_ends_below_the_shortest_bonds() -> None:
    zbl = repulsion([6, 8])
    energies = [zbl(*pair(r))[0].sum().item() for r in np.linspace(0.1, 1.06, 49)]
    assert all(nearer > farther for nearer, farther in pairwise(energies))
    assert zbl(*pair(1.066))[0].sum().item() == 0


@pytest.mark.parametrize("name", ["N2", "CO", "C2H2", "H2O", "CH3CH2OH", "HF", "H2"])
def test_bonds_do_not_feel_it(name: str) -> None:
    atoms = molecule(name)
    numbers = sorted(set(atoms.numbers.tolist()))
    graph = from_atoms([atoms], 5.0, torch.float64)
    senders, receivers = graph.edge_index
    vectors = graph.pos[senders] - graph.pos[receivers]
    species = torch.tensor([numbers.index(z) for z in atoms.numbers])
    energies, seen = repulsion(numbers)(species, vectors, senders, receivers)
    assert energies.sum() == 0
    assert seen is vectors


@pytest.mark.parametrize("distance", [0.4, 0.55, 0.7, 0.9])  # flat, between, and as it is
def test_derivatives_are_those_of_energy_and_vectors(distance: float) -> None:
    zbl = repulsion([6, 8])
    species, vectors, senders, receivers = pair(distance)
    vectors = vectors + 0.1 * distance * torch.tensor([[1.0, 0.5, 0.0], [-1.0, -0.5, 0.0]])
    vectors.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: zbl(species, v, senders, receivers), vectors)
    assert torch.autograd.gradgradcheck(lambda v: zbl(species, v, senders, receivers), vectors)
    energies, seen = zbl(species, vectors, senders, receivers)
    same, shown, pull_back = zbl.evaluated(species, vectors.detach(), senders, receivers)
    assert torch.equal(same, energies.detach())
    assert torch.equal(shown, seen.detach())
    of_seen = torch.randn(2, 3, dtype=torch.float64)
    (expected,) = torch.autograd.grad((energies.sum(), seen), vectors, (torch.tensor(1.0), of_seen))
    assert torch.allclose(pull_back(of_seen), expected, rtol=1e-12)


def test_a_network_does_not_see_how_near_atoms_are() -> None:
    zbl, radii = repulsion([6, 8]), 0.76 + 0.66
    distances = np.linspace(0.01, 1.0, 100)
    shown = np.array([zbl(*pair(r * radii))[1][0, 2].item() / radii for r in distances])
    assert shown[distances <= 0.35] == pytest.approx(0.45)
    assert shown[distances >= 0.55] == pytest.approx(distances[distances >= 0.55])
    assert (np.diff(shown) >= -1e-12).all()


def test_no_edges() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    energies, seen, pull_back = repulsion([6]).evaluated(
        torch.tensor([0]), torch.zeros(0, 3), none, none
    )
    assert energies.tolist() == [0.0]
    assert seen.shape == pull_back(seen).shape == (0, 3)
