"""Loaders of the parts of a data set."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from molnet.datasets.splits import Split
from molnet.training.config import checked_train
from molnet.training.data import DataModule, in_order
from molnet.training.run import train
from molnet.training.sources import draw_split, elements_of

Settings = Callable[..., DictConfig]


def data_module(settings: Settings, *overrides: str) -> DataModule:
    dataset = checked_train(settings(*overrides)).dataset
    store = dataset.open(["energy", "forces"], {})
    split = draw_split(store, dataset)
    return DataModule(store, split, dataset, 3.0, ["energy"], torch.float64, seed=3)


def energies(batches: Any) -> list[float]:
    return [energy for batch in batches for energy in batch.energy.tolist()]


def test_an_epoch_holds_every_training_structure_once(settings: Settings) -> None:
    data = data_module(settings)
    expected = data.store.labels["energy"][data.parts["train"].indices]
    assert sorted(energies(data.train_dataloader())) == sorted(expected.tolist())


def test_epochs_have_their_own_orders_that_can_be_repeated(settings: Settings) -> None:
    orders = []
    for epoch in (0, 1, 0):
        data = data_module(settings)
        data.start_epoch(epoch)
        orders.append(energies(data.train_dataloader()))
    assert orders[0] == orders[2] != orders[1]


def test_a_resumed_epoch_lacks_the_batches_that_are_done(settings: Settings) -> None:
    whole, resumed = data_module(settings), data_module(settings)
    whole.start_epoch(5)
    resumed.load_state_dict({"epoch": 5, "batches": 2})
    assert energies(resumed.train_dataloader()) == energies(whole.train_dataloader())[8:]
    resumed.start_epoch(6)
    assert len(energies(resumed.train_dataloader())) == 12


def test_state_within_and_after_an_epoch(settings: Settings) -> None:
    data = data_module(settings)
    loop = SimpleNamespace(
        epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=3, processed=2)),
        epoch_loop=SimpleNamespace(
            batch_progress=SimpleNamespace(current=SimpleNamespace(ready=7))
        ),
    )
    data.trainer = SimpleNamespace(fit_loop=loop, current_epoch=2)  # type: ignore[assignment]
    assert data.state_dict() == {"epoch": 2, "batches": 7}
    loop.epoch_progress.current.processed = 3
    assert data.state_dict() == {"epoch": 3, "batches": 0}


def test_an_empty_validation_part_is_replaced_by_the_training_part(settings: Settings) -> None:
    data = data_module(settings, "dataset.validation_size=0")
    assert data.parts["validation"] is data.parts["train"]


def test_batches_are_bounded(settings: Settings) -> None:
    data = data_module(settings, "dataset.max_atoms=10", "dataset.batch_size=100")
    counts = [batch.num_nodes for batch in in_order(data.parts["train"], data.settings)]
    assert max(counts) <= 10
    assert sum(counts) == data.parts["train"].node_counts.sum()


def test_elements_of_a_part(settings: Settings) -> None:
    store = data_module(settings).store
    water = [i for i in range(len(store)) if store.offsets[i + 1] - store.offsets[i] == 3]
    dataset = checked_train(settings()).dataset
    empty = np.array([], dtype=np.int64)
    data = DataModule(store, Split(np.array(water), empty, empty), dataset, 3.0, ["energy"])
    assert elements_of(data.parts["train"]) == [1, 8]
    assert elements_of(data.parts["test"]) == []


def test_forces_that_contradict_the_energies_are_refused(
    settings: Settings, molecules: Path, tmp_path: Path
) -> None:
    frames = [atoms.copy() for atoms in ase.io.read(molecules, ":") for _ in range(6)]
    rng = np.random.default_rng(0)
    for atoms in frames:
        atoms.positions += rng.normal(scale=0.02, size=atoms.positions.shape)
        vectors = atoms.positions - atoms.get_center_of_mass()
        atoms.info["energy"] = -10.0 * atoms.numbers.sum() + 0.3 * float((vectors**2).sum())
        atoms.arrays["forces"] = 0.6 * vectors
    path = tmp_path / "gradients.extxyz"
    ase.io.write(path, frames)
    given = (f"dataset.path={path}", "target=energy_forces", "dataset.train_size=null")
    with pytest.raises(
        ValueError, match=r"do not belong together.*gradients.extxyz, frame .*are"
    ) as told:
        train(settings(*given))
    assert "Forces are minus the derivatives" in str(told.value)
    with pytest.warns(UserWarning, match="do not belong together"):
        train(settings(*given, "dataset.accept_implausible=true", "trainer.max_epochs=1"))
