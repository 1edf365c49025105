"""Dipoles and extents of molecules in periodic boxes, from a file to a model."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from omegaconf import DictConfig, OmegaConf

from molnet.models import load_model
from molnet.training.evaluate import evaluate
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def training_on(settings: Settings, path: Path, target: str, *more: str) -> DictConfig:
    unit = {"dipole": "e*Å", "mu": "e*Å", "r2": "Å^2"}[target]
    config = settings(f"target={target}", f"dataset.path={path}", "trainer.max_epochs=1", *more)
    label = {"key": target, "unit": unit}
    OmegaConf.update(config, f"dataset.labels.{target}", label, force_add=True)
    return config


def in_boxes(molecules: Path, path: Path) -> list[Atoms]:
    """The molecules in periodic boxes that cut through them."""
    frames = ase.io.read(molecules, ":")
    for atoms in frames:
        atoms.set_cell([14.0, 15.0, 16.0])
        atoms.pbc = True
        atoms.wrap()
    ase.io.write(path, frames)
    return frames


@pytest.mark.parametrize("target", ["dipole", "mu", "r2"])
def test_a_box_changes_nothing(
    settings: Settings, molecules: Path, tmp_path: Path, target: str
) -> None:
    elsewhere = f"run_folder={tmp_path / 'alone'}"
    alone = train(training_on(settings, molecules, target, elsewhere))
    in_boxes(molecules, tmp_path / "boxes.extxyz")
    boxed = train(training_on(settings, tmp_path / "boxes.extxyz", target))
    for part in ("train", "validation", "test"):
        assert boxed[part][target]["mae"] == pytest.approx(alone[part][target]["mae"], rel=1e-3)
    model = load_model(tmp_path / "run")
    first, second = ase.io.read(molecules, 3), ase.io.read(tmp_path / "boxes.extxyz", 3)
    results = [result[target] for result in model.predict([first, second])]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_a_crystal_is_refused_before_the_first_step(
    settings: Settings, molecules: Path, tmp_path: Path
) -> None:
    frames = in_boxes(molecules, tmp_path / "boxes.extxyz")
    train(training_on(settings, tmp_path / "boxes.extxyz", "dipole"))
    crystal = bulk("NaCl", "rocksalt", 5.64)
    crystal.numbers[:] = [1, 6]
    crystal.info["dipole"] = np.zeros(3)
    ase.io.write(tmp_path / "crystals.extxyz", [*frames[:20], crystal, *frames[20:]])
    message = r"crystals.extxyz, frame 20: for 'dipole', .* is not one molecule: bonds"
    elsewhere = f"run_folder={tmp_path / 'refused'}"
    with pytest.raises(ValueError, match=message):
        train(training_on(settings, tmp_path / "crystals.extxyz", "dipole", elsewhere))
    data = OmegaConf.to_container(
        training_on(settings, tmp_path / "crystals.extxyz", "dipole").dataset
    )
    folders = {"model": str(tmp_path / "run"), "run_folder": str(tmp_path / "again")}
    with pytest.raises(ValueError, match=message):
        evaluate(OmegaConf.create({**folders, "dataset": data, "split": "all"}))
