"""Edge vectors, forces, virial and volumes of a batch."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.lj import LennardJones
from torch import Tensor

from molnet.graph import edge_vectors, from_atoms, virial, volumes
from molnet.graph.container import Graph
from molnet.kernels import net_inflow

CUTOFF = 4.0


def crystal() -> Atoms:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1.1, 0.05], [0.2, 0, 1]], scale_atoms=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def slab() -> Atoms:
    return fcc111("Cu", (1, 2, 2), vacuum=6.0, periodic=False)


def pair_energy(graph: Graph, vectors: Tensor) -> Tensor:
    """A smooth pair potential, Σ (1 − r²/c²)³ over edges, [G]."""
    r2 = vectors.square().sum(dim=1)
    pairs = (1 - r2 / CUTOFF**2).clamp(min=0) ** 3
    energy = torch.zeros(graph.num_graphs, dtype=pairs.dtype)
    return energy.index_add(0, graph.batch[graph.edge_index[1]], pairs)


def energy_of(atoms: Atoms) -> float:
    graph = from_atoms([atoms], CUTOFF, torch.float64)
    return pair_energy(graph, edge_vectors(graph)).item()


def slopes(graph: Graph) -> tuple[Tensor, Tensor]:
    """Edge vectors, and the gradients of the energy by them."""
    vectors = edge_vectors(graph).detach().requires_grad_()
    (gradients,) = torch.autograd.grad(pair_energy(graph, vectors).sum(), vectors)
    return vectors.detach(), gradients


def stress(graph: Graph) -> Tensor:
    return virial(graph, *slopes(graph)) / volumes(graph)[:, None, None]


@pytest.mark.parametrize("periodic", [False, True])
def test_edge_vectors_follow_the_convention(periodic: bool) -> None:
    structures = [molecule("CH3OH"), *([crystal()] if periodic else []), molecule("H2O")]
    graph = from_atoms(structures, CUTOFF, torch.float64)
    senders, receivers = graph.edge_index.numpy()
    pos, cell = graph.pos.numpy(), graph.cell.numpy()
    expected = pos[senders] - pos[receivers]
    if periodic:
        shifts, structure = graph.shifts.numpy(), graph.batch.numpy()[receivers]
        expected += np.stack(
            [S @ cell[g] for S, g in zip(shifts, structure, strict=True)]
        )  # edge by edge
    np.testing.assert_allclose(edge_vectors(graph).numpy(), expected, atol=1e-12)


def test_edge_vectors_are_differentiable_in_positions_and_cell() -> None:
    graph = from_atoms([molecule("H2O"), bulk("Cu")], 3.0, torch.float64)

    def vectors(pos: Tensor, cell: Tensor) -> Tensor:
        moved = graph.clone()
        moved.pos, moved.cell = pos, cell
        return edge_vectors(moved)

    inputs = (graph.pos.requires_grad_(), graph.cell.requires_grad_())
    assert torch.autograd.gradcheck(vectors, inputs)
    assert torch.autograd.gradgradcheck(vectors, inputs)


def test_edge_vectors_do_not_depend_on_the_rest_of_the_batch() -> None:
    together = from_atoms([crystal(), molecule("H2O"), bulk("Cu")], CUTOFF)
    alone = from_atoms([crystal()], CUTOFF)
    vectors = edge_vectors(alone)
    torch.testing.assert_close(edge_vectors(together)[: len(vectors)], vectors, rtol=0, atol=0)


def test_forces_are_gradients_by_positions() -> None:
    graph = from_atoms([crystal(), slab(), molecule("H2O"), Atoms("He")], CUTOFF, torch.float64)
    _, gradients = slopes(graph)
    graph.pos.requires_grad_()
    energy = pair_energy(graph, edge_vectors(graph)).sum()
    (by_position,) = torch.autograd.grad(energy, graph.pos)
    forces = net_inflow(gradients, *graph.edge_index, len(graph.pos))
    torch.testing.assert_close(forces, -by_position)
    assert by_position.abs().max() > 1e-2


def test_stress_agrees_with_finite_deformation_of_the_structure() -> None:
    atoms, step = crystal(), 1e-5
    found = stress(from_atoms([atoms], CUTOFF, torch.float64))[0]
    for x, y in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[x, y] += sign * step / 2
            strain[y, x] += sign * step / 2
            deformed = atoms.copy()
            deformed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(energy_of(deformed))
        expected = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert found[x, y].item() == pytest.approx(expected, abs=1e-8)
        assert found[y, x] == found[x, y]
    assert found.abs().max() > 1e-3


def test_sign_and_order_of_stress_are_those_of_ase() -> None:
    atoms = crystal()
    parameters = {"sigma": 2.0, "epsilon": 1.0, "rc": CUTOFF, "smooth": False}
    atoms.calc = LennardJones(**parameters)
    graph = from_atoms([atoms], CUTOFF, torch.float64)
    vectors = edge_vectors(graph).requires_grad_()
    r = vectors.norm(dim=1)
    energy = 2.0 * ((2.0 / r) ** 12 - (2.0 / r) ** 6).sum()
    (gradients,) = torch.autograd.grad(energy, vectors)
    found = virial(graph, vectors.detach(), gradients)[0] / volumes(graph)
    np.testing.assert_allclose(found.numpy(), atoms.get_stress(voigt=False), atol=1e-10)


def test_vacuum_does_not_change_the_energy_of_a_slab_and_scales_its_stress() -> None:
    thin, thick = slab(), slab()
    thin.cell[2], thick.cell[2] = [0, 0, 10.0], [0, 0, 40.0]
    graphs = [from_atoms([atoms], CUTOFF, torch.float64) for atoms in (thin, thick)]
    assert energy_of(thin) == energy_of(thick)
    torch.testing.assert_close(stress(graphs[0]), 4 * stress(graphs[1]))


def test_volumes() -> None:
    left_handed = crystal()
    left_handed.set_cell(left_handed.cell.array[[1, 0, 2]], scale_atoms=False)
    no_third_vector = slab()
    no_third_vector.cell[2] = 0
    boxed = molecule("H2O", cell=[5, 5, 5])
    structures = [crystal(), left_handed, no_third_vector, molecule("H2O"), boxed]
    found = volumes(from_atoms(structures, CUTOFF, torch.float64))
    volume = crystal().get_volume()
    expected = torch.tensor([volume, volume, torch.nan, torch.nan, torch.nan], dtype=torch.float64)
    torch.testing.assert_close(found, expected, equal_nan=True)
