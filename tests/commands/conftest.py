"""Small runs of the scripts, in this process."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few water molecules with made-up labels."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        atoms = molecule("H2O")
        atoms.rattle(0.1, rng=rng)
        atoms.info["energy"] = float(atoms.positions.std())
        frames.append(atoms)
    path = tmp_path_factory.mktemp("data") / "water.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="module")
def small(structures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of a run that takes a moment."""
    return [
        "dataset=structures",
        "target=energy",
        f"dataset.path={structures}",
        f"dataset.cache={tmp_path_factory.mktemp('stores')}",
        "dataset.labels.energy.unit=eV",
        "dataset.batch_size=4",
        "model=small",
        "model.channels=4",
        "model.l_max=1",
        "model.num_layers=1",
        "model.radial_hidden=[8]",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
        "trainer.progress_bar=false",
        "logger=none",
    ]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script in this process, in an empty folder: ``(status, output, errors)``."""
    monkeypatch.setattr("molnet.training.plots.plot_learning_curves", lambda *args: None)
    monkeypatch.setattr("molnet.training.run.plot_learning_curves", lambda *args: None)
    monkeypatch.setattr("molnet.training.results.plot_parity", lambda *args: None)
    monkeypatch.chdir(tmp_path)

    def run(script: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        status = 0
        try:
            runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return status, output.out, output.err

    return run
