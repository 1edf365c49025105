"""Training, relaxation, dynamics and the calculator on a GPU."""

import json
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
import torch
from ase.build import molecule

import molnet
from molnet.models import load_model
from molnet.simulate.dynamics import Dynamics
from molnet.simulate.relaxation import relax

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["CH3CH2OH", "C6H6", "CH3CONH2", "H2O"]


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_a_training_learns_and_its_model_runs_on_the_cpu(
    device: torch.device, precision: str, tmp_path: Path
) -> None:
    settings = [
        *("dataset=organic", "dataset.train_size=400", "dataset.validation_size=50"),
        *("dataset.test_size=50", "trainer=default", "trainer.max_epochs=4", "logger=none"),
        f"trainer.matmul_precision={precision}",
        f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *settings]
    done = run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"runs on     {device.type}" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["validation"]["forces"]["mae"] < 500  # meV/Å; about 1,000 untrained
    atoms = molecule("CH3CH2OH")
    on_cpu = load_model(tmp_path / "run", device="cpu").predict(atoms)
    on_gpu = load_model(tmp_path / "run", device=device).predict(atoms)
    np.testing.assert_allclose(on_gpu["forces"], on_cpu["forces"], atol=1e-3)


def test_relaxation(device: torch.device) -> None:
    def energies(place: torch.device | str) -> dict[int, float]:
        model = molnet.load("organic", device=place, dtype="float64")
        found = relax(model, [molecule(name) for name in NAMES], fmax=1e-3)
        return {each.place: each.atoms.get_potential_energy() for each in found if each.converged}

    expected = energies("cpu")
    assert len(expected) == len(NAMES)
    assert energies(device) == pytest.approx(expected, abs=1e-4)


def test_dynamics_conserve_energy(device: torch.device) -> None:
    model = molnet.load("organic", device=device)
    dynamics = Dynamics(
        model, [molecule(name) for name in NAMES], "nve", 300.0, steps=200, timestep=0.5
    )
    totals = []
    for _ in range(200):
        dynamics.step()
        kinetic = dynamics.integrator.kinetic_energies(dynamics.state.momenta)
        totals.append(dynamics.state.evaluation.energies + kinetic)
    spread = np.ptp(np.array(totals), axis=0) / [len(molecule(name)) for name in NAMES]
    assert (spread < 2e-3).all(), spread  # eV per atom


def test_calculator(device: torch.device) -> None:
    atoms, other = molecule("C6H6"), molecule("C6H6")
    atoms.calc = molnet.Calculator("organic", device=device)
    other.calc = molnet.Calculator("organic", device="cpu")
    for _ in range(3):
        atoms.rattle(0.05, seed=3)
        other.rattle(0.05, seed=3)
        np.testing.assert_allclose(atoms.get_forces(), other.get_forces(), atol=2e-3)


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_over_nccl(device: torch.device, tmp_path: Path, processes: int) -> None:
    if device.type == "cuda" and torch.cuda.device_count() < processes:
        pytest.skip(f"needs {processes} GPUs")
    settings = [
        *("dataset=organic", "dataset.train_size=200", "dataset.validation_size=50"),
        *("dataset.test_size=50", "trainer=default", "trainer.max_epochs=1", "logger=none"),
        *("trainer.strategy=ddp", f"trainer.devices={processes}", "trainer.dtype=float64"),
        f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *settings]
    alone = ["trainer.strategy=auto", "trainer.devices=1", f"hydra.run.dir={tmp_path / 'alone'}"]
    for more in [], alone:
        done = run([*command, *more], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    ours, expected = [
        json.loads((tmp_path / name / "metrics.json").read_text())["validation"]["forces"]["mae"]
        for name in ("run", "alone")
    ]
    assert ours == pytest.approx(expected, rel=1e-6)
