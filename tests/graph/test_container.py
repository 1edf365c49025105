"""A graph is read and written as a batch of PyTorch Geometric is."""

import copy

import torch
from ase.build import bulk, molecule
from torch_geometric.data import Batch

from molnet.graph import Graph, from_atoms


def graph() -> Graph:
    return from_atoms([molecule("H2O"), bulk("Cu")], 4.0)


def test_it_becomes_a_batch_and_counts_as_one() -> None:
    mine = graph()
    batch = Batch(**mine)
    assert sorted(mine.keys()) == sorted(batch.keys())
    for key in mine.keys():  # noqa: SIM118 - a graph is not a mapping
        assert mine[key] is batch[key]
        assert key in mine
        assert key in batch
    assert "energy" not in mine
    for count in ("num_graphs", "num_nodes", "num_edges"):
        assert getattr(mine, count) == getattr(batch, count)


def test_a_copy_has_tensors_of_its_own() -> None:
    first = graph()
    second = copy.copy(first)
    second.pos = torch.zeros(4, 3)
    second["charge"] = torch.ones(2)
    assert first.pos.any()
    assert not first.charge.any()


def test_it_moves_to_a_device_with_all_that_it_holds() -> None:
    first = graph()
    moved = first.to("meta")
    assert {tensor.device.type for _, tensor in moved} == {"meta"}
    assert {tensor.device.type for _, tensor in first} == {"cpu"}
    assert moved.keys() == first.keys()
