"""Batches by index arithmetic against PyTorch Geometric's own, which joins one by one."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from torch_geometric.data import Batch, Data

from molnet.graph import StructureError, collate, find_neighbours, from_atoms
from molnet.properties import PROPERTIES, Property

CUTOFF = 4.0


def water() -> Atoms:
    return molecule("H2O")


def mixed() -> list[Atoms]:
    return [water(), bulk("Cu"), Atoms("He"), molecule("C2H6", cell=[9, 9, 9])]


def one_by_one(structures: list[Atoms]) -> Batch:
    data = []
    for atoms in structures:
        edges = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
        data.append(
            Data(
                species=torch.tensor(atoms.numbers),
                pos=torch.tensor(atoms.positions),
                edge_index=torch.tensor(np.stack([edges.senders, edges.receivers])),
                shifts=torch.tensor(edges.shifts, dtype=torch.float64),
            )
        )
    return Batch.from_data_list(data)


def test_agrees_with_joining_one_by_one() -> None:
    graph = from_atoms(mixed(), CUTOFF, torch.float64)
    expected = one_by_one(mixed())
    for batch in (graph, expected):  # senders of one receiver come in any order
        order = np.lexsort([*batch.shifts.T.numpy(), *batch.edge_index.numpy()])
        batch.edge_index, batch.shifts = batch.edge_index[:, order], batch.shifts[order]
    for key in ("species", "pos", "edge_index", "shifts", "batch", "ptr"):
        assert graph[key].dtype == expected[key].dtype, key
        torch.testing.assert_close(graph[key], expected[key], rtol=0, atol=0)
    assert graph.num_graphs == 4
    assert graph.num_nodes == 13


def test_receivers_ascend() -> None:
    receivers = from_atoms(mixed(), CUTOFF).edge_index[1]
    assert (receivers.diff() >= 0).all()


def test_shifts_exist_only_beside_periodic_structures() -> None:
    assert "shifts" in from_atoms(mixed(), CUTOFF)
    assert "shifts" not in from_atoms([water(), Atoms("He")], CUTOFF)


def test_a_molecule_in_a_cell_is_the_molecule() -> None:
    inside = water()
    inside.cell = np.diag([1.0, 2.0, 3.0])
    with_cell, without = from_atoms([inside], CUTOFF), from_atoms([water()], CUTOFF)
    assert sorted(with_cell.keys()) == sorted(without.keys())
    for key in without.keys():  # noqa: SIM118 - a batch is not a mapping
        torch.testing.assert_close(with_cell[key], without[key], rtol=0, atol=0)
    assert not with_cell.cell.any()


def test_a_slab_keeps_its_cell() -> None:
    slab = Atoms("Cu", cell=[2.5, 2.5, 12.0], pbc=[True, True, False])
    graph = from_atoms([slab], CUTOFF)
    torch.testing.assert_close(graph.cell[0], torch.diag(torch.tensor([2.5, 2.5, 12.0])))
    assert graph.pbc.tolist() == [[True, True, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    graph = from_atoms(mixed(), CUTOFF, dtype)
    for key in ("pos", "cell", "shifts"):
        assert graph[key].dtype == dtype, key
    for key in ("species", "edge_index", "batch", "ptr"):
        assert graph[key].dtype == torch.int64, key
    assert graph.pbc.dtype == torch.bool


def test_total_energies_stay_in_float64_and_other_labels_follow_the_model() -> None:
    energy = np.array([-2079.123456789012])
    binding = Property("binding", "eV", extensive=True)
    labels = {
        PROPERTIES["energy"]: energy,
        binding: energy,
        PROPERTIES["homo"]: np.array([-6.1]),
        PROPERTIES["forces"]: np.ones((1, 3)),
    }
    none = np.empty(0, dtype=np.int64)
    graph = collate(
        species=np.array([2]),
        pos=np.zeros((1, 3)),
        counts=np.array([1]),
        cell=np.zeros((1, 3, 3)),
        pbc=np.zeros((1, 3), dtype=bool),
        senders=none,
        receivers=none,
        edge_counts=np.array([0]),
        labels=labels,
    )
    assert graph.energy.item() == graph.binding.item() == energy[0]
    assert graph.energy.dtype == torch.float64
    assert graph.homo.dtype == graph.forces.dtype == graph.pos.dtype == torch.float32


def test_periodic_structures_need_shifts() -> None:
    edge = np.array([0])
    with pytest.raises(ValueError, match="shifts"):
        collate(
            species=np.array([29]),
            pos=np.zeros((1, 3)),
            counts=np.array([1]),
            cell=np.eye(3)[None],
            pbc=np.ones((1, 3), dtype=bool),
            senders=edge,
            receivers=edge,
            edge_counts=np.array([1]),
        )


def test_a_batch_owns_its_numbers() -> None:
    atoms = water()
    graph = from_atoms([atoms], CUTOFF, torch.float64)
    graph.pos += 1.0
    np.testing.assert_array_equal(atoms.positions, water().positions)


def test_faulty_structures_are_named_by_their_place() -> None:
    broken = water()
    broken.positions[1] = np.nan
    with pytest.raises(StructureError, match="atom 1 ") as caught:
        from_atoms([water(), water(), broken], CUTOFF)
    assert caught.value.index == 2
    with pytest.raises(StructureError, match="no atoms") as caught:
        from_atoms([water(), Atoms()], CUTOFF)
    assert caught.value.index == 1


def test_no_structures_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        from_atoms([], CUTOFF)
