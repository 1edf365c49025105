"""Batches from a store are those that the structures themselves give."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from torch.utils.data import DataLoader

from molnet.datasets.batching import BatchSampler
from molnet.datasets.dataset import GraphDataset
from molnet.datasets.store import ArrayStore, StoreWriter
from molnet.graph import from_atoms
from molnet.properties import get_property


def identity(batch: object) -> object:
    return batch


@pytest.mark.parametrize("chosen", [[0], [3, 1], [4, 0, 2, 1, 3]])
def test_batches_equal_those_of_the_structures(
    mixed: list[Atoms], mixed_store: ArrayStore, chosen: list[int]
) -> None:
    order = [2, 4, 0, 3, 1]
    dataset = GraphDataset(mixed_store, order, 4.0, ["energy", "forces"], torch.float64)
    batch = dataset.__getitems__(chosen)
    structures = [order[i] for i in chosen]
    expected = from_atoms([mixed[i] for i in structures], 4.0, torch.float64)
    for key in ("species", "pos", "edge_index", "cell", "pbc", "batch", "ptr"):
        assert torch.equal(batch[key], expected[key]), key
    assert ("shifts" in batch) == ("shifts" in expected)
    if "shifts" in batch:
        assert torch.equal(batch.shifts, expected.shifts)
    assert batch.energy.numpy().tolist() == mixed_store.labels["energy"][structures].tolist()
    offsets = mixed_store.offsets
    forces = [mixed_store.labels["forces"][offsets[i] : offsets[i + 1]] for i in structures]
    assert np.array_equal(batch.forces.numpy(), np.concatenate(forces))


def test_shifts_only_where_needed(mixed_store: ArrayStore) -> None:
    dataset = GraphDataset(mixed_store, range(5), 4.0)
    assert "shifts" not in dataset.__getitems__([0, 1, 4])
    assert "shifts" in dataset.__getitems__([0, 2])


def test_precision(mixed_store: ArrayStore) -> None:
    batch = GraphDataset(mixed_store, [0, 1], 4.0, ["energy", "forces"])[0]
    assert batch.pos.dtype == batch.forces.dtype == torch.float32
    assert batch.energy.dtype == torch.float64  # total energies are large, their changes small


def test_counts_are_those_of_the_chosen_structures(mixed_store: ArrayStore) -> None:
    dataset = GraphDataset(mixed_store, [4, 1, 2], 4.0)
    assert len(dataset) == 3
    assert dataset.node_counts.tolist() == [3, 1, 1]
    assert dataset.edge_counts.tolist() == [dataset[i].edge_index.shape[1] for i in range(3)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_yields_whole_batches(mixed_store: ArrayStore, workers: int) -> None:
    dataset = GraphDataset(mixed_store, range(5), 4.0, ["energy"])
    sampler = BatchSampler(dataset.node_counts, dataset.edge_counts, 2)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=identity, num_workers=workers)
    energies = [batch.energy for batch in loader]
    assert [len(energy) for energy in energies] == [2, 2, 1]
    assert torch.cat(energies).tolist() == mixed_store.labels["energy"].tolist()


def test_absent_labels_and_structures_are_named(mixed_store: ArrayStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no labels for 'force'.*Did you mean 'forces'\?"):
        GraphDataset(mixed_store, [0], 4.0, ["force"])
    with pytest.raises(ValueError, match="expected indices from 0 to 4, got -1 to 5"):
        GraphDataset(mixed_store, [-1, 5], 4.0)
    with StoreWriter(tmp_path / "s", [get_property("energy")], {}) as writer:
        writer.add([1], [[0, 0, 0]], labels={"energy": 0.0})
    store = ArrayStore.open(tmp_path / "s")
    with pytest.raises(
        ValueError, match=r"no labels for 'forces'.*It has: energy.*dataset\.labels"
    ):
        GraphDataset(store, [0], 4.0, ["energy", "forces"])


def test_an_empty_part_is_no_error(mixed_store: ArrayStore) -> None:
    dataset = GraphDataset(mixed_store, [], 4.0)
    assert len(dataset) == 0
    assert dataset.node_counts.tolist() == []


def test_no_structures_are_a_batch_without_labels(mixed_store: ArrayStore) -> None:
    dataset = GraphDataset(mixed_store, range(5), 4.0, ["energy", "forces"])
    batch = dataset.__getitems__([])
    assert batch.num_graphs == 1
    assert len(batch.pos) == dataset.node_counts[dataset.edge_counts.argmin()]
    assert batch.energy.isnan().all()
    assert batch.forces.isnan().all()
    assert not dataset[int(dataset.edge_counts.argmin())].energy.isnan().any()
