"""Small labelled data sets and settings for the tests of training."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from molnet.bundled import CONF
from molnet.training.overrides import readable
from molnet.training.run import train

TINY_NETWORK = [
    "model.cutoff=3.0",
    "model.channels=4",
    "model.l_max=1",
    "model.num_layers=1",
    "model.num_radial=4",
    "model.radial_hidden=[8]",
]


@pytest.fixture(scope="session")
def molecules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four rattled molecules with a label of every property, in internal units."""
    rng = np.random.default_rng(1)
    frames = []
    for index in range(24):
        name = ["H2O", "CH4", "NH3", "CH3OH"][index % 4]
        atoms = molecule(name)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        vectors = atoms.positions - atoms.get_center_of_mass()
        spread = float((vectors**2).sum())
        reference = -10.0 * atoms.numbers.sum() + 0.3 * spread
        atoms.info |= {
            **dict.fromkeys(("energy", "u0", "u", "h", "g", "zpve"), reference),
            **dict.fromkeys(("homo", "lumo", "gap"), -5.0 + 0.1 * spread),
            "cv": 1e-4 * len(atoms),
            "name": name,
            "number": index,
            "alpha": 1.5 * len(atoms),
            "r2": 10.0 * spread,
            "dipole": vectors[0],
            "mu": float(np.linalg.norm(vectors[0])),
            "polarizability": (np.eye(3) * len(atoms) + vectors.T @ vectors).ravel(),
        }
        atoms.arrays["forces"] = -0.6 * vectors
        charges = rng.normal(scale=0.1, size=len(atoms))
        atoms.arrays["charges"] = charges - charges.mean()
        frames.append(atoms)
    path = tmp_path_factory.mktemp("molecules") / "molecules.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="session")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strained argon crystals and two molecules, with energy, forces and, where defined, stress."""
    rng = np.random.default_rng(2)
    frames = []
    for index in range(12):
        crystal = bulk("Ar", "fcc", 5.2, cubic=True)
        crystal.set_cell(
            crystal.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), True
        )
        atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.6]]) if index < 2 else crystal
        atoms.rattle(0.05, seed=index)
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0)
        atoms.get_potential_energy()
        atoms.get_forces()
        if index >= 2:
            atoms.get_stress()
        frames.append(atoms)
    path = tmp_path_factory.mktemp("crystals") / "crystals.extxyz"
    ase.io.write(path, frames)
    return path


@cache
def composed(*choices: str) -> DictConfig:
    """The settings for choices from the groups; each is composed once, which takes its time."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(choices))


def compose_tiny(molecules: Path, stores: Path, folder: Path, *overrides: str) -> DictConfig:
    """The settings of a tiny run that writes to ``folder / "run"``."""
    given = [
        "dataset=structures",
        "logger=none",
        f"dataset.path={molecules}",
        f"dataset.cache={stores}",
        "dataset.labels.energy.unit=eV",
        "dataset.labels.forces.unit=eV/Å",
        "dataset.train_size=12",
        "dataset.validation_size=4",
        "dataset.batch_size=4",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "trainer.progress_bar=false",
        f"run_folder={folder / 'run'}",
        *TINY_NETWORK,
        *overrides,
    ]
    settings = dict(override.split("=", 1) for override in given)
    choices = [f"{key}={value}" for key, value in settings.items() if (CONF / key).is_dir()]
    config = composed(*choices).copy()
    for key, value in settings.items():
        if not (CONF / key).is_dir():
            override = OverridesParser.create().parse_override(readable(f"{key}={value}"))
            OmegaConf.update(config, key, override.value())
    return config


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests keep their array stores."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture
def settings(
    molecules: Path, stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DictConfig]:
    """Composes the settings of a tiny run from overrides; it writes to ``tmp_path / "run"``.

    Such runs draw no plots and write no page, which take longer than the training.
    """
    monkeypatch.setattr("molnet.training.run.plot_learning_curves", lambda *args: None)
    monkeypatch.setattr("molnet.training.results.plot_parity", lambda *args: None)
    monkeypatch.setattr("molnet.training.run.run_page", lambda *args: None)
    return partial(compose_tiny, molecules, stores, tmp_path)


@pytest.fixture(scope="session")
def finished(
    molecules: Path, stores: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The folder of a whole tiny run, and the metrics that it returned."""
    folder = tmp_path_factory.mktemp("finished")
    metrics = train(compose_tiny(molecules, stores, folder, "logger=default"))
    return folder / "run", metrics
