"""Cartesian tensors from a file to a model: shieldings of atoms, a matrix of each structure."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from scipy.spatial.transform import Rotation

from molnet.models import load_model
from molnet.simulate import predict_files
from molnet.training.config import ConfigError
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def shieldings(positions: NDArray, numbers: NDArray) -> NDArray:
    """Something like a shielding tensor of each atom, [N, 3, 3], neither symmetric nor small."""
    centred = positions - positions.mean(axis=0)
    axes = np.cross(centred, numbers @ centred)  # axial vectors
    turn = np.cross(np.eye(3)[None], axes[:, None])
    return (
        (20.0 + numbers)[:, None, None] * np.eye(3)
        + 8.0 * centred[:, :, None] * centred[:, None]
        + 5.0 * turn
    )


@pytest.fixture
def shielded(tmp_path: Path) -> Path:
    """Nine columns for each atom, row by row, and nine numbers in the comment line."""
    rng = np.random.default_rng(5)
    frames = []
    for index in range(24):
        atoms = molecule(["CH3OH", "C2H6", "H2O"][index % 3])
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        atoms.positions = atoms.positions @ Rotation.random(rng=rng).as_matrix()
        sigma = shieldings(atoms.positions, atoms.numbers)
        atoms.arrays["sigma"] = sigma.reshape(len(atoms), 9)
        atoms.info["total"] = sigma.sum(axis=0).ravel().tolist()
        frames.append(atoms)
    path = tmp_path / "shielded.extxyz"
    ase.io.write(path, frames)
    return path


def training_on(
    settings: Settings, path: Path, key: str, head: dict[str, Any], shape: list[int], *more: str
) -> DictConfig:
    overrides = [f"dataset.path={path}", "model.l_max=2", "model.parity=true", "model.num_layers=2"]
    config = settings(*overrides, "optimizer.lr=1e-2", *more)
    per = head.get("per", "structure")
    config.target = OmegaConf.create(
        {
            "heads": {"shielding": {"kind": "tensor", **head}},
            "losses": {"shielding": {"weight": 1.0}},
            "properties": {"shielding": {"unit": "ppm", "per": per, "shape": shape}},
        }
    )
    label = {"key": key, "unit": "ppm"}
    OmegaConf.update(config, "dataset.labels.shielding", label, force_add=True)
    return config


@pytest.mark.parametrize(("key", "per"), [("sigma", "atom"), ("total", "structure")])
def test_cartesian_tensors_of_a_file(
    settings: Settings, shielded: Path, tmp_path: Path, key: str, per: str
) -> None:
    head = {"cartesian": "ij", "per": per}
    longer = "trainer.max_epochs=10"
    metrics = train(training_on(settings, shielded, key, head, [3, 3], longer))
    assert metrics["test"]["shielding"]["count"] % 9 == 0
    assert metrics["test"]["shielding"]["unit"] == "ppm"
    assert metrics["test"]["shielding"]["mae"] < metrics["test"]["shielding"]["rmse"] < 100

    R = Rotation.random(rng=7).as_matrix()
    first, second = molecule("CH3OH"), molecule("CH3OH")
    second.positions = second.positions @ R.T
    model = load_model(tmp_path / "run").double()
    before, after = (result["shielding"] for result in model.predict([first, second]))
    assert np.abs(before - before.swapaxes(-1, -2)).max() > 1e-3
    np.testing.assert_allclose(after, R @ before @ R.T, atol=1e-8)

    # Both files of predictions are read as the data were: row by row.
    written = ase.io.read(tmp_path / "run" / "test_predictions.extxyz", ":")
    predict_files(model, tmp_path / "run" / "test_predictions.extxyz", tmp_path / "out.extxyz")
    for compared, predicted in zip(written, ase.io.read(tmp_path / "out.extxyz", ":"), strict=True):
        reference = shieldings(compared.positions, compared.numbers)
        source = (lambda atoms: atoms.arrays) if per == "atom" else (lambda atoms: atoms.info)
        shape = (-1, 3, 3) if per == "atom" else (3, 3)
        found = np.reshape(source(compared)["shielding"], shape)
        expected = reference if per == "atom" else reference.sum(axis=0)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(
            np.reshape(source(compared)["predicted_shielding"], shape),
            np.reshape(source(predicted)["shielding"], shape),
            atol=1e-3,
        )


def test_what_a_symmetric_head_cannot_learn_is_said(
    settings: Settings, shielded: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    head = {"cartesian": "ij=ji", "per": "atom"}
    train(training_on(settings, shielded, "sigma", head, [3, 3], "trainer.max_epochs=1"))
    assert "have the index symmetries ij=ji, but the labels do not" in caplog.text
    caplog.clear()
    head = {"cartesian": "ij", "per": "atom"}
    overrides = ("trainer.max_epochs=1", f"run_folder={tmp_path / 'again'}")
    train(training_on(settings, shielded, "sigma", head, [3, 3], *overrides))
    assert "index symmetries" not in caplog.text


@pytest.mark.parametrize(
    ("head", "shape", "message"),
    [
        ({"irreps": "0e+1e+2e"}, [9], "write cartesian: ij instead of irreps"),
        ({"irreps": "0e+1e+2e"}, [3, 3], "write cartesian: ij instead of irreps"),
        ({"irreps": "0e+2e"}, [6], "write cartesian: ij instead of irreps"),
        ({"cartesian": "ij"}, [9], r"target.properties.shielding.shape: expected \[3, 3\]"),
        ({"irreps": "1o"}, [3, 3], r"shielding.shape: expected \[3\], .* got \[3, 3\]"),
        ({"cartesian": "ij", "spherical": True}, [3, 3], "got both"),
        ({"cartesian": "ij=kl"}, [3, 3], "no permutation"),
    ],
)
def test_what_cannot_be_predicted_is_refused_before_any_file_is_read(
    settings: Settings, tmp_path: Path, head: dict[str, Any], shape: list[int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(training_on(settings, tmp_path / "not there.xyz", "sigma", head, shape))


def test_parity_is_asked_for_before_any_file_is_read(settings: Settings, tmp_path: Path) -> None:
    config = training_on(settings, tmp_path / "not there.xyz", "s", {"cartesian": "ij"}, [3, 3])
    config.model.parity = False
    with pytest.raises(ConfigError, match=r"shielding needs features 1e: set model.parity=true"):
        train(config)
