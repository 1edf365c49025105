"""Energies and forces of similar structures against each other."""

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from scipy.spatial.transform import Rotation

from molnet.datasets import ArrayStore, open_structures
from molnet.datasets.energy_and_forces import Agreement, agreement, units_that_fit


def rattled(start: Atoms, count: int = 60) -> list[Atoms]:
    """Rattled structures with labels of effective medium theory, turned, or moved and wrapped."""
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(count):
        atoms = start.copy()
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        if atoms.pbc.any():
            atoms.positions += rng.uniform(0, 10, size=3)
            atoms.wrap()
        else:
            atoms.positions = atoms.positions @ Rotation.random(random_state=rng).as_matrix()
        atoms.calc = EMT()
        atoms.info["energy"] = atoms.get_potential_energy()
        atoms.arrays["forces"] = atoms.get_forces()
        atoms.calc = None
        frames.append(atoms)
    return frames


STARTS = {
    "molecule": molecule("CH3CONH2"),
    "crystal": bulk("Cu", cubic=True) * (2, 1, 1),
}


@pytest.fixture(params=STARTS)
def frames(request: pytest.FixtureRequest) -> list[Atoms]:
    return rattled(STARTS[request.param])


def compared(frames: list[Atoms], folder: Path, energy: str = "eV") -> Agreement:
    path = folder / "frames.extxyz"
    ase.io.write(path, frames)
    labels: Any = {
        "energy": {"key": "energy", "unit": energy},
        "forces": {"key": "forces", "unit": "eV/Å"},
    }
    store: ArrayStore = open_structures(path, labels, cache=folder / "cache")
    found = agreement(store, np.arange(len(store)))
    assert found is not None
    return found


def test_true_labels_agree(frames: list[Atoms], tmp_path: Path) -> None:
    found = compared(frames, tmp_path)
    assert found.pairs >= 20
    assert found.correlation > 0.97
    assert found.ratio == pytest.approx(1, abs=0.1)
    assert not found.is_broken
    i, j = found.example
    assert found.change == pytest.approx(frames[j].info["energy"] - frames[i].info["energy"])
    assert found.work == pytest.approx(found.change, rel=0.2)


def test_forces_of_the_wrong_sign_do_not(frames: list[Atoms], tmp_path: Path) -> None:
    for atoms in frames:
        atoms.arrays["forces"] *= -1
    found = compared(frames, tmp_path)
    assert found.is_broken
    assert found.ratio == pytest.approx(-1, abs=0.1)


def test_energies_of_another_unit_do_not(frames: list[Atoms], tmp_path: Path) -> None:
    for atoms in frames:
        atoms.info["energy"] /= units.Hartree
    found = compared(frames, tmp_path)
    assert found.is_broken
    assert found.ratio == pytest.approx(1 / units.Hartree, rel=0.1)
    assert units_that_fit(found.ratio, "eV", "eV/Å")[0] == "energies in Hartree"
    assert not compared(frames, tmp_path, "Hartree").is_broken


def test_labels_that_have_nothing_to_do_with_each_other_say_nothing(tmp_path: Path) -> None:
    frames = rattled(STARTS["molecule"])
    energies = np.random.default_rng(0).permutation([atoms.info["energy"] for atoms in frames])
    for atoms, energy in zip(frames, energies, strict=True):
        atoms.info["energy"] = energy
    assert not compared(frames, tmp_path).is_broken


def test_too_few_structures_say_nothing(tmp_path: Path) -> None:
    frames = rattled(STARTS["molecule"], 10)
    for atoms in frames:
        atoms.arrays["forces"] *= -1
    found = compared(frames, tmp_path)
    assert found.correlation < -0.9
    assert not found.is_broken


def test_structures_of_different_atoms_are_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "frames.extxyz"
    ase.io.write(path, [rattled(molecule(name), 1)[0] for name in ("H2O", "CH4", "NH3")])
    labels: Any = {
        "energy": {"key": "energy", "unit": "eV"},
        "forces": {"key": "forces", "unit": "eV/Å"},
    }
    store = open_structures(path, labels, cache=tmp_path / "cache")
    assert agreement(store, np.arange(3)) is None


@pytest.mark.parametrize("name", ["acac", "3bpa", "ethanol"])
def test_labels_of_density_functionals_agree(name: str, shared_data: Path, tmp_path: Path) -> None:
    file = "train.xyz" if name == "ethanol" else "train_300K.xyz"
    frames = ase.io.read(shared_data / name / file, ":300")
    for atoms in frames:
        atoms.info["energy"] = atoms.get_potential_energy()
        atoms.arrays["forces"] = atoms.get_forces()
        atoms.calc = None
    found = compared(frames, tmp_path)
    assert found.correlation > 0.85
    assert found.ratio == pytest.approx(1, abs=0.2)  # curvature


@pytest.mark.parametrize(
    ("ratio", "declared", "expected"),
    [
        (1 / units.Hartree, ("eV", "eV/Å"), "energies in Hartree"),
        (units.Bohr / units.Hartree, ("Hartree", "Hartree/Bohr"), "forces in eV/Å"),
        (1.05 / units.Bohr, ("eV", "eV/Å"), "energies in Hartree and forces in Hartree/Bohr"),
        (units.mol / units.kcal, ("eV", "kcal/mol/Å"), "energies in kcal/mol"),
    ],
)
def test_units_that_would_fit(ratio: float, declared: tuple[str, str], expected: str) -> None:
    assert units_that_fit(ratio, *declared)[0] == expected
    assert units_that_fit(1e6, *declared) == []
