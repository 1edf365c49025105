"""Structures and parts of the data that the bundled model is trained on."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.data import vdw_radii

pytest.importorskip("rdkit", reason='needs the extra "organic"')
pytest.importorskip("tblite", reason='needs the extra "organic"')
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from sampling.clusters import beside
from sampling.distortions import bond_matrix, stretched, twisted
from sampling.labelling import Frame, label_any, numbers_of, rounded
from sampling.molecules import (
    DRUGS,
    canonical,
    drugs,
    embedded,
    part_of,
    positions_of,
    substituted,
    symbols_of,
)
from sampling.motion import dynamics
from sampling.parts import gather


def test_drugs_are_known_molecules_of_the_test_part() -> None:
    assert len(drugs()) == len(DRUGS) == 20
    assert {part_of(smiles) for smiles in drugs()} == {"test"}


@pytest.mark.parametrize("smiles", ["C[NH3+]", "CS", "[CH3]", "C.C"])
def test_ions_other_elements_radicals_and_mixtures_are_left_out(smiles: str) -> None:
    assert canonical(smiles) is None


def test_a_substituted_molecule_is_larger_and_valid() -> None:
    rng = np.random.default_rng(0)
    made = [substituted("c1ccccc1", rng) for _ in range(20)]
    assert sum(one is not None for one in made) > 15
    assert all(one is None or len(one) > len("c1ccccc1") for one in made)


def test_molecules_are_placed_at_the_contact_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    water, benzene = embedded("O", rng), embedded("c1ccccc1", rng)
    assert water is not None
    assert benzene is not None
    for contact in (0.6, 1.0, 2.0):
        pair = beside(benzene, water, contact, rng)
        radii = vdw_radii[numbers_of(symbols_of(pair))]
        positions = positions_of(pair)
        distances = np.linalg.norm(positions[:12, None] - positions[12:], axis=-1)
        nearest = (distances / (radii[:12, None] + radii[12:])).min()
        assert nearest == pytest.approx(contact, abs=1e-6)


def test_dynamics_has_the_temperature_of_its_bath() -> None:
    rng = np.random.default_rng(0)
    ethane = embedded("CC", rng)
    assert ethane is not None
    walk = dynamics(ethane, 300.0, rng)
    lengths = []
    for _ in range(60):
        positions = next(walk)
        lengths.append(np.linalg.norm(positions[1] - positions[0]))
    # kT / k with k = 4.3 mdyn/Å of MMFF94's C–C bond: 0.031 Å
    assert np.std(lengths) == pytest.approx(0.031, rel=0.35)
    assert np.mean(lengths) == pytest.approx(1.51, abs=0.03)


def test_a_twist_keeps_the_bonds_and_a_stretch_changes_them() -> None:
    rng = np.random.default_rng(0)
    butane = embedded("CCCC", rng)
    assert butane is not None
    numbers, start = numbers_of(symbols_of(butane)), positions_of(butane)
    bonded = bond_matrix(numbers, start)
    before = np.linalg.norm(start[:, None] - start, axis=-1)[bonded]
    turned = twisted(bonded, start, rng)
    np.testing.assert_allclose(
        np.linalg.norm(turned[:, None] - turned, axis=-1)[bonded], before, atol=1e-9
    )
    assert np.abs(turned - start).max() > 0.5
    longer = stretched(bonded, start, rng)
    after = np.linalg.norm(longer[:, None] - longer, axis=-1)[bonded]
    assert 2 <= np.count_nonzero(np.abs(after / before - 1.0) > 1e-6) <= 4


def test_forces_are_the_derivatives_of_the_energies() -> None:
    water = molecule("H2O")
    energies = []
    for step in (-0.01, 0.01):
        moved = water.positions.copy()
        moved[1, 1] += step
        labels = label_any(water.numbers, moved)
        assert labels is not None
        energies.append(labels[0])
    labels = label_any(water.numbers, water.positions)
    assert labels is not None
    assert -(energies[1] - energies[0]) / 0.02 == pytest.approx(labels[1][1, 1], abs=5e-3)


def test_no_molecule_is_in_two_parts(tmp_path: Path) -> None:
    def frame(name: str, kind: str) -> str:
        return Frame(
            name, kind, ["H"], rounded(np.zeros((1, 3))), 0.0, np.zeros((1, 3)), "q"
        ).extxyz()

    held = [("CCC=O", "md300"), ("CCC=O.O", "dimer")]
    validation = [("CCCO", "md300"), ("CCCO", "scaled"), ("CCC=O", "md300")]
    train = [("CCC=O.O", "dimer"), ("CCCN", "scaled"), ("CCCN.O", "dimer"), ("CCCO", "md600")]
    for part, names in {"test": held, "validation": validation, "train": train}.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "000.extxyz").write_text("".join(frame(*name) for name in names))
    assert gather(tmp_path) == {"test": 2, "validation": 1, "train": 2}
    assert "CCC=O" not in (tmp_path / "train.extxyz").read_text()
