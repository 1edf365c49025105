"""Predictions as extended XYZ, read back with ASE."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from omegaconf import DictConfig

from molnet.datasets.dataset import GraphDataset
from molnet.training.config import checked_train
from molnet.training.data import in_order
from molnet.training.predictions import PredictionWriter

Settings = Callable[..., DictConfig]
NAMES = ["energy", "forces", "stress"]


@pytest.fixture
def part(settings: Settings, crystals: Path) -> tuple[GraphDataset, list]:
    config = settings(f"dataset.path={crystals}", "dataset.labels.stress.unit=eV/Å^3")
    dataset = checked_train(config).dataset
    store = dataset.open(NAMES, {})
    part = GraphDataset(store, [1, 5, 3, 0, 11], 4.0, NAMES)
    return part, list(in_order(part, dataset))


def test_structures_labels_and_predictions_come_back(
    part: tuple[GraphDataset, list], crystals: Path, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.extxyz"
    with PredictionWriter(path, part[0]) as writer:
        for batch in part[1]:
            writer.write(batch, {name: 2 * batch[name] for name in NAMES})
    source = ase.io.read(crystals, ":")
    frames = ase.io.read(path, ":")
    assert [frame.info["index"] for frame in frames] == [1, 5, 3, 0, 11]
    for frame in frames:
        original = source[frame.info["index"]]
        assert frame.get_chemical_symbols() == original.get_chemical_symbols()
        assert (frame.pbc == original.pbc).all()
        np.testing.assert_allclose(frame.positions, original.positions, atol=1e-8)
        np.testing.assert_allclose(frame.cell.array, original.cell.array, atol=1e-10)
        energy = original.get_potential_energy()
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-10)
        assert frame.info["predicted_energy"] == pytest.approx(2 * energy, abs=1e-10)
        np.testing.assert_allclose(
            frame.arrays["predicted_forces"], 2 * original.get_forces(), atol=1e-7
        )
        assert ("predicted_stress" in frame.info) == original.pbc.all()
        if original.pbc.all():
            np.testing.assert_allclose(frame.get_stress(), original.get_stress(), atol=1e-8)


def test_a_file_appears_whole_or_not_at_all(
    part: tuple[GraphDataset, list], tmp_path: Path
) -> None:
    def fail() -> None:
        with PredictionWriter(tmp_path / "predictions.extxyz", part[0]) as writer:
            writer.write(part[1][0], {name: part[1][0][name] for name in NAMES})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
