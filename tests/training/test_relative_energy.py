"""Training on forces alone: its energies have an arbitrary zero, and are never taken for others."""

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from omegaconf import DictConfig, OmegaConf

from molnet.models import load_model
from molnet.simulate import Calculator, predict_files
from molnet.training.config import ConfigError, checked_train
from molnet.training.evaluate import evaluate
from molnet.training.run import train

Settings = Callable[..., DictConfig]

WAYS = [["target=forces"], ["target.losses.energy.weight=0"]]


def settings_for(settings: Settings, way: list[str], *more: str) -> DictConfig:
    return settings("trainer.max_epochs=1", *way, *more)


@pytest.fixture(params=WAYS, ids=["no loss of energy", "weight 0"])
def run(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Path:
    """The folder of a run on forces alone, whose files hold energies all the same."""
    train(settings_for(settings, request.param))
    return tmp_path / "run"


def test_nothing_that_a_run_writes_is_called_an_energy(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["test"]) == {"forces"}
    assert not list(run.glob("*energy*"))
    for atoms in ase.io.read(run / "test_predictions.extxyz", ":"):
        assert set(atoms.calc.results) == {"forces"}
        assert "predicted_energy" not in atoms.info
    with (run / "history.csv").open() as file:
        assert not any("energy" in name for name in next(csv.reader(file)))
    model = load_model(run)
    assert list(model.properties) == ["relative_energy", "forces", "stress"]
    assert model.energy_is_relative
    assert "energy" not in model.statistics["targets"]
    scales = {name: entry["scale"] for name, entry in model.statistics["targets"].items()}
    assert scales["relative_energy"] == scales["forces"]


def test_predictions_of_every_format(run: Path, molecules: Path, tmp_path: Path) -> None:
    summary = predict_files(run, molecules, tmp_path / "out.extxyz")
    text = str(summary)
    assert {name for name, _ in summary.errors} == {"force components"}
    assert "relative_energy: the model was trained on forces alone, so the zero of the" in text
    assert "energy per atom" not in text.replace("relative_energy per atom", "")
    for atoms in ase.io.read(tmp_path / "out.extxyz", ":"):
        assert {"energy", "free_energy"}.isdisjoint(atoms.calc.results)
        assert "energy" not in atoms.info
        assert np.isfinite(atoms.info["relative_energy"])
        assert "relative_energy: eV" in atoms.info["units"]

    predict_files(run, molecules, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        columns = next(csv.reader(file))
    assert "relative_energy (eV)" in columns
    assert not any(name.startswith(("energy", "free_energy")) for name in columns)

    predict_files(run, molecules, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["units"]["relative_energy"] == "eV"
    assert "energy" not in written["units"]
    assert all("energy" not in entry for entry in written["structures"])
    (prediction,) = load_model(run).predict([ase.io.read(molecules, 0)])
    assert prediction.keys() - {"domain_distance", "domain_distances"} == {
        "relative_energy",
        "forces",
    }


def test_energies_are_not_compared(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folders = {"model": str(run), "run_folder": str(tmp_path / "again"), "split": "all"}
    assert set(evaluate(OmegaConf.create(folders))["all"]) == {"forces"}
    assert "trained on forces alone: energies are not compared" in caplog.text


def test_dynamics_and_relaxations_have_what_they_need(run: Path, molecules: Path) -> None:
    atoms = ase.io.read(molecules, 0)
    atoms.calc = Calculator(run)
    assert atoms.get_potential_energy() == atoms.calc.results["relative_energy"]
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    VelocityVerlet(atoms, timestep=0.1).run(2)
    BFGS(atoms, logfile=None).run(steps=2)


def test_the_user_is_told(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    train(settings_for(settings, ["target=forces"]))
    assert "note: no energy is trained, only its derivatives" in caplog.text


def test_the_control_an_energy_that_is_trained_is_an_energy(
    settings: Settings, molecules: Path, tmp_path: Path
) -> None:
    train(settings_for(settings, ["target.losses.energy.weight=1e-3"]))
    model = load_model(tmp_path / "run")
    assert not model.energy_is_relative
    assert list(model.properties) == ["energy", "forces", "stress"]
    summary = predict_files(model, molecules, tmp_path / "out.extxyz")
    assert {name for name, _ in summary.errors} == {"energy per atom", "force components"}
    assert "energy" in ase.io.read(tmp_path / "out.extxyz", 0).calc.results


def test_other_names_of_energies(settings: Settings) -> None:
    config = settings("target=forces")
    config.target.heads = {"u0": {"kind": "extensive", "forces": True, "stress": True}}
    target = checked_train(config).target
    assert target.heads == {
        "relative_u0": {"kind": "extensive", "forces": True, "stress": True, "relative": True}
    }
    assert target.declared()["relative_u0"].is_total_energy


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "target.heads.homo",
            {"kind": "intensive"},
            "target.heads.homo is not trained by any loss",
        ),
        ("target.losses.forces.weight", -1.0, "forces.weight=-1.0: expected a number, 0 or more"),
        ("target.losses.energy.weight", float("nan"), "energy.weight=nan: expected a number"),
        ("target.losses.energy.weight", float("inf"), "energy.weight=inf: expected a number"),
    ],
)
def test_weights_that_leave_a_head_as_it_was_made(
    settings: Settings, key: str, value: object, message: str
) -> None:
    config = settings()
    OmegaConf.update(config, key, value, force_add=True)
    with pytest.raises(ConfigError, match=message):
        checked_train(config)
    config = settings("target.losses.energy.weight=0", "target.losses.forces.weight=0")
    with pytest.raises(ConfigError, match=r"target.heads.energy is not trained by any loss"):
        checked_train(config)
