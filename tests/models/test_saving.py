"""Saved models come back exactly, and whatever is not a saved model is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from safetensors.torch import load_file, save_file

import molnet
from molnet.models import Model, ModelFormatError, load_model, save_model
from molnet.properties import Property

DECLARED = Property("spin_density", "e", per="atom", shape=(3,), shown_in="e")


@pytest.fixture
def model() -> Model:
    return Model(
        network={"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]},
        heads={
            "energy": {"kind": "extensive", "forces": True},
            "spin_density": {"kind": "tensor", "irreps": "1o", "per": "atom"},
        },
        species=[8, 1],
        statistics={
            "mean_neighbours": 2.0,
            "targets": {"energy": {"references": {"H": -13.6, "O": -2041.8}, "scale": 0.7}},
        },
        properties={"spin_density": DECLARED},
        provenance={"command": "python scripts/train.py"},
    )


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "model")


def test_round_trip(model: Model, folder: Path) -> None:
    loaded = molnet.load(folder, device="cpu")
    water = molecule("H2O")
    for name, value in model.predict([water])[0].items():
        assert np.array_equal(value, loaded.predict([water])[0][name]), name
    assert loaded.config == model.config
    assert loaded.properties["spin_density"] == DECLARED
    assert not loaded.training


def test_the_folder_of_a_run_will_do(folder: Path) -> None:
    assert load_model(folder.parent, device="cpu").species == [1, 8]


def test_loads_in_another_precision(folder: Path) -> None:
    model = load_model(folder, device="cpu", dtype=torch.float64)
    assert model.dtype == torch.float64
    assert model.predict([molecule("H2O")])[0]["forces"].dtype == np.float64


def test_saving_again_replaces_the_folder(model: Model, folder: Path) -> None:
    (folder / "stray").write_text("")
    save_model(model, folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"]
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_no_pickle_inside(folder: Path) -> None:
    assert load_file(folder / "model.safetensors")
    assert json.loads((folder / "config.json").read_text())["species"] == ["H", "O"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_model(tmp_path / "nothing")


def test_missing_device(folder: Path) -> None:
    with pytest.raises(ValueError, match="device 'cudda' cannot be used"):
        load_model(folder, device="cudda")


def test_older_format(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 1}))
    with pytest.raises(ModelFormatError, match=r"version 1.*reads 2 to 2: train the model again"):
        load_model(folder)


def test_newer_format(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(ModelFormatError, match=r"99.*install a newer molnet"):
        load_model(folder)


def test_damaged_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelFormatError, match="not the configuration of a model"):
        load_model(folder)


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFormatError, match="damaged"):
        load_model(folder)


def test_weights_of_another_model(folder: Path) -> None:
    save_file({"stray": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(ModelFormatError, match="belongs to another model"):
        load_model(folder)
