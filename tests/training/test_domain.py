"""A training ends with a model that knows its domain, and tells what that says of its errors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from omegaconf import DictConfig

from molnet.datasets.dataset import GraphDataset
from molnet.datasets.splits import load_split
from molnet.models import load_model
from molnet.training import domain as fitting
from molnet.training.by_structure import ErrorsByStructure
from molnet.training.config import checked_train
from molnet.training.data import in_order
from molnet.training.domain import chosen, domain_figures, store_domain
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def test_the_model_of_a_run_knows_its_domain(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = finished
    model = load_model(folder, device="cpu")
    assert model.domain is not None
    near = ase.io.read(folder / "test_predictions.extxyz")
    squeezed = near.copy()
    squeezed.positions *= 0.6
    with pytest.warns(UserWarning, match="outside of what the model was trained on"):
        far = model.predict(squeezed)
    assert model.predict(near)["domain_distance"] < 2 < far["domain_distance"]
    figures = metrics["domain"]["test"]
    assert figures["property"] == "forces"
    assert figures["structures"] == 8
    assert -1 <= figures["rank_correlation"] <= 1
    assert json.loads((folder / "metrics.json").read_text())["domain"] == metrics["domain"]


def test_trained_for_longer_in_two_steps_it_is_the_same(settings: Settings, tmp_path: Path) -> None:
    train(settings("scheduler=constant", "trainer.max_epochs=2"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    train(settings("scheduler=constant", "trainer.max_epochs=3", f"resume={last}"))
    train(settings("scheduler=constant", "trainer.max_epochs=3", f"run_folder={tmp_path / 'b'}"))
    resumed, whole = (load_model(tmp_path / run, device="cpu").domain for run in ("run", "b"))
    assert resumed is not None
    assert whole is not None
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_crystals_have_one(settings: Settings, crystals: Path, tmp_path: Path) -> None:
    overrides = ["dataset.train_size=8", "dataset.validation_size=0", "dataset.test_size=4"]
    overrides.append("model.cutoff=5.0")
    metrics = train(settings(f"dataset.path={crystals}", *overrides))
    assert metrics["domain"]["test"]["structures"] == 4
    model = load_model(tmp_path / "run", device="cpu")
    crystal = ase.io.read(crystals, -1)
    assert model.predict(crystal)["domain_distance"] < 5
    crystal.set_cell(0.6 * crystal.cell.array, scale_atoms=True)
    with pytest.warns(UserWarning, match="outside of what the model was trained on"):
        model.predict(crystal)


def parts_of(folder: Path, config: DictConfig) -> tuple[dict[str, GraphDataset], Any]:
    dataset = checked_train(config).dataset
    model = load_model(folder, device="cpu")
    store = dataset.open(["energy", "forces"], model.properties)
    split = load_split(folder / "split.json", len(store), store.checksum)
    properties = ["energy", "forces"]
    return {
        name: GraphDataset(store, indices, model.cutoff, properties, model.dtype)
        for name, indices in split.parts.items()
    }, dataset


def test_it_can_be_fitted_to_a_saved_model(settings: Settings, tmp_path: Path) -> None:
    config = settings()
    train(config)
    folder = tmp_path / "run"
    expected = load_model(folder, device="cpu").domain
    assert expected is not None
    parts, dataset = parts_of(folder, config)
    store_domain(folder / "model", parts["train"], parts["validation"], dataset, "cpu")
    found = load_model(folder, device="cpu").domain
    assert found is not None
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=0)


def test_rare_elements_are_among_the_chosen(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings("trainer.max_epochs=1", "dataset.train_size=20", "dataset.validation_size=2"))
    parts, _ = parts_of(tmp_path / "run", settings())
    part = parts["train"]
    monkeypatch.setattr(fitting, "ATOMS", 8)
    monkeypatch.setattr(fitting, "OF_EACH_ELEMENT", 2)
    few = chosen(part)
    assert len(few) < len(part)
    offsets = few.store.offsets
    species = np.concatenate([few.store.species[offsets[i] : offsets[i + 1]] for i in few.indices])
    for element in np.unique(part.store.species):
        assert (species == element).sum() >= 2, element


def test_figures_of_the_errors(settings: Settings, tmp_path: Path) -> None:
    train(settings("trainer.max_epochs=1"))
    parts, dataset = parts_of(tmp_path / "run", settings())
    model = load_model(tmp_path / "run", device="cpu")
    part = parts["test"]
    errors = ErrorsByStructure(part.properties.values())
    for batch in in_order(part, dataset):
        with torch.no_grad():
            predictions = model(batch, measure=True)
        # Errors that rank as the distances do.
        predictions["forces"] = batch.forces.clone()
        predictions["forces"][:, 1] -= predictions["domain_distances"]
        errors.update(predictions, batch)
    figures = domain_figures(errors.compute(), part.properties)
    assert figures is not None
    assert figures.rank_correlation == pytest.approx(1.0)
    assert figures.structures == len(part)
    assert "rank correlation of domain_distance and errors of forces: 1.00" in str(figures)


def test_atoms_that_are_all_alike_have_one(settings: Settings, tmp_path: Path) -> None:
    atoms = [molecule("H2O") for _ in range(20)]
    for index, each in enumerate(atoms):
        each.positions *= 10 + index  # beyond the cutoff
        each.info["energy"], each.arrays["forces"] = float(index), 0.1 * np.eye(3)
    ase.io.write(tmp_path / "apart.extxyz", atoms)
    path = tmp_path / "apart.extxyz"
    train(settings(f"dataset.path={path}", "dataset.accept_implausible=true"))
    model = load_model(tmp_path / "run", device="cpu")
    assert model.predict(atoms[0])["domain_distance"] < 1
    with pytest.warns(UserWarning, match="outside of what the model was trained on"):
        model.predict(molecule("H2O"))
