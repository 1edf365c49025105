"""Ions among neutral molecules: from files to charges and dipoles that add up."""

import logging
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from omegaconf import DictConfig, OmegaConf

from molnet.models import load_model
from molnet.training.evaluate import evaluate
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def ammonia_and_ammonium(**ion: object) -> list[Atoms]:
    """Rattled NH3 and NH4+ with charges rounded to four digits; ``ion`` is the ions' info."""
    rng = np.random.default_rng(3)
    frames = []
    for index in range(24):
        atoms = molecule("NH3" if index % 2 else "CH4")
        atoms.numbers[0] = 7
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        hydrogens = len(atoms) - 1
        total = 0.0 if index % 2 else 1.0
        charges = np.array([-0.9, *[(0.9 + total) / hydrogens] * hydrogens])
        charges += rng.normal(scale=0.01, size=len(charges))
        atoms.arrays["charges"] = (charges - (charges.sum() - total) / len(charges)).round(4)
        atoms.info["energy"] = -1500.0 - 13.0 * hydrogens
        atoms.info["dipole"] = atoms.arrays["charges"] @ (
            atoms.positions - atoms.get_center_of_mass()
        )
        if total:
            atoms.info.update(ion)
        frames.append(atoms)
    return frames


def settings_for(
    settings: Settings, path: Path, target: str, unit: str, *overrides: str
) -> DictConfig:
    config = settings(f"target={target}", f"dataset.path={path}", *overrides)
    label = {"key": target, "unit": unit}
    OmegaConf.update(config, f"dataset.labels.{target}", label, force_add=True)
    return config


@pytest.mark.parametrize(
    "ion", [{"charge": 1}, {"total_charge": 1.0, "charge": 1}], ids=["charge", "two keys"]
)
def test_charges_add_up_to_the_total_charge(
    settings: Settings, tmp_path: Path, ion: dict[str, float]
) -> None:
    ase.io.write(tmp_path / "ions.extxyz", ammonia_and_ammonium(**ion))
    longer = ("trainer.max_epochs=30", "optimizer.lr=1e-2")
    metrics = train(settings_for(settings, tmp_path / "ions.extxyz", "charges", "e", *longer))
    assert metrics["test"]["charges"]["mae"] < 0.05  # 0.1 where every ion sums to 0
    model = load_model(tmp_path / "run")
    assert model.statistics["total_charges"] == [0, 1]
    predictions = ase.io.read(tmp_path / "run" / "test_predictions.extxyz", ":")
    for atoms in predictions:
        charge = atoms.info.get("charge", 0)
        assert charge == (1 if len(atoms) == 5 else 0)
        assert atoms.arrays["predicted_charges"].sum() == pytest.approx(charge, abs=1e-5)
    evaluated = evaluate(
        OmegaConf.create({"model": str(tmp_path / "run"), "run_folder": str(tmp_path / "again")})
    )
    assert evaluated["test"]["charges"]["mae"] == pytest.approx(metrics["test"]["charges"]["mae"])


def test_sums_that_contradict_the_total_charge_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "ions.extxyz"
    ase.io.write(path, ammonia_and_ammonium())  # nothing says that there are ions
    with pytest.raises(ValueError, match=r"ions.extxyz, frame 0: .* add up to 1 e, but .* \+0 e"):
        train(settings_for(settings, path, "charges", "e"))
    frames = ammonia_and_ammonium(charge=1)
    frames[7].info["charge"] = -1
    ase.io.write(path, frames)
    with pytest.raises(ValueError, match=r"frame 7: .* State the total charge of each ion"):
        train(settings_for(settings, path, "charges", "e"))


def test_dipoles_of_ions_are_about_the_centre_of_mass(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "ions.extxyz"
    ase.io.write(path, ammonia_and_ammonium(charge=1))
    train(settings_for(settings, path, "dipole", "e*Å"))
    assert "predicted about the centre of mass" in caplog.text
    assert "The network does not see" not in caplog.text  # the dipole head does
    model = load_model(tmp_path / "run").double()
    ion = ammonia_and_ammonium(charge=1)[0]
    moved = ion.copy()
    moved.positions += [3.0, -2.0, 5.0]
    dipoles = [result["dipole"] for result in model.predict([ion, moved])]
    np.testing.assert_allclose(*dipoles, atol=1e-10)


def test_ions_that_are_not_declared_are_suspected(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "ions.extxyz"
    ase.io.write(path, ammonia_and_ammonium())
    train(settings_for(settings, path, "dipole", "e*Å"))
    odd = sum(len(atoms) == 5 for atoms in ase.io.read(path, ":"))
    assert odd == 12
    assert "training structures have an odd number of electrons: radicals, or ions" in caplog.text


def test_what_the_network_does_not_see_is_said(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    frames = ammonia_and_ammonium(charge=1)
    for atoms in frames[:6]:
        atoms.info["multiplicity"] = 3
    ase.io.write(tmp_path / "ions.extxyz", frames)
    config = settings_for(settings, tmp_path / "ions.extxyz", "energy", "eV")
    train(config)
    assert "total charges in e: 0 (12 structures), +1 (12 structures)" in caplog.text
    assert "the energy depends on the geometry alone" in caplog.text
    assert "multiplicity 3 (6 structures), not stated (18 structures)" in caplog.text


def test_nothing_is_said_of_neutral_molecules(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train(settings("target=energy", "trainer.max_steps=1"))
    assert "charge" not in caplog.text
    assert "spin" not in caplog.text
