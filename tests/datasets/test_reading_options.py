"""What a user says about structure files reaches the store, and its folder."""

import logging
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from molnet.datasets.structures import open_structures
from molnet.graph.frames import ReadingOptions, StructureFileError
from molnet.units import UnitError

ENERGY = {"energy": {"key": "energy", "unit": "eV"}}
FORCES = {"forces": {"key": "forces", "unit": "eV/Å"}}
DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0.0 20.0
0.0 20.0
0.0 20.0
ITEM: ATOMS id type x y z fx fy fz
1 1 10.0 10.0 10.0 0.5 0.0 0.0
2 2 11.1 10.0 10.0 -0.5 0.0 0.0
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLNET_CACHE", str(tmp_path / "cache"))


def test_elements_of_a_dump(tmp_path: Path) -> None:
    path = tmp_path / "a.lammpstrj"
    path.write_text(DUMP)
    with pytest.raises(StructureFileError, match=r"elements=\[C,H\]"):
        open_structures(path, FORCES)
    store = open_structures(path, FORCES, reading=ReadingOptions.of(elements=["C", "H"]))
    assert store.species.tolist() == [6, 1]
    assert store.labels["forces"][:, 0].tolist() == [0.5, -0.5]
    other = open_structures(path, FORCES, reading=ReadingOptions.of(elements=["O", "H"]))
    assert other.species.tolist() == [8, 1]
    assert other.path != store.path  # nothing stale is read


def test_a_dump_has_no_energy(tmp_path: Path) -> None:
    path = tmp_path / "a.lammpstrj"
    path.write_text(DUMP)
    reading = ReadingOptions.of(elements=["C", "H"])
    with pytest.raises(StructureFileError, match="none of the 1 frames read has 'energy'"):
        open_structures(path, ENERGY | FORCES, reading=reading)


def test_units_that_a_dump_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.lammpstrj"
    path.write_text("ITEM: UNITS\nreal\n" + DUMP)
    reading = ReadingOptions.of(elements=["C", "H"])
    store = open_structures(path, {"forces": {"key": "forces", "unit": ""}}, reading=reading)
    assert store.labels["forces"][0, 0] == pytest.approx(0.5 * units.kcal / units.mol)
    with pytest.raises(UnitError, match=r"files declare 'kcal/mol/Å' for 'forces', got 'eV/Å'"):
        open_structures(path, FORCES, reading=reading)


def schnetpack(path: Path, **metadata: object) -> None:
    atoms = molecule("H2O")
    atoms.positions /= units.Bohr
    with ase.db.connect(path) as database:
        database.write(atoms, data={"energy": np.array([-76.0]), "forces": np.ones((3, 3))})
        database.metadata = metadata


def test_units_that_a_database_declares(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.db"
    declared = {"energy": "Hartree", "forces": "kcal/mol/Ang"}
    schnetpack(path, _distance_unit="Bohr", _property_unit_dict=declared)
    with caplog.at_level(logging.INFO):
        store = open_structures(path, {name: {"key": name, "unit": ""} for name in declared})
    assert "energy: 1 of 1 structures, key 'energy' in Hartree" in caplog.text
    assert np.allclose(store.positions, molecule("H2O").positions)
    assert store.labels["energy"].tolist() == pytest.approx([-76 * units.Hartree])
    assert np.allclose(store.labels["forces"], units.kcal / units.mol)
    same = open_structures(path, {"energy": {"key": "energy", "unit": "Ha"}})
    assert same.labels["energy"].tolist() == pytest.approx([-76 * units.Hartree])
    with pytest.raises(UnitError, match=r"labels.energy.unit: the files declare 'Hartree'.*'eV'"):
        open_structures(path, ENERGY)


def test_a_label_that_the_database_does_not_declare(tmp_path: Path) -> None:
    schnetpack(tmp_path / "a.db", _property_unit_dict={"forces": "eV/Ang"})
    with pytest.raises(UnitError, match=r"labels\.energy has no unit"):
        open_structures(tmp_path / "a.db", {"energy": {"key": "energy", "unit": ""}})


def test_positions_in_nm(tmp_path: Path) -> None:
    atoms = molecule("CH3OH")
    scaled = Atoms(atoms.symbols, atoms.positions / 10, info={"energy": -1.0})
    ase.io.write(tmp_path / "a.extxyz", scaled)
    reading = ReadingOptions.of(positions_unit="nm")
    store = open_structures(tmp_path / "a.extxyz", ENERGY, reading=reading)
    assert np.allclose(store.positions, atoms.positions, atol=1e-6)


def test_a_format_by_name(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info["energy"] = -1.0
    ase.io.write(tmp_path / "a.dat", [atoms] * 3, format="extxyz")
    store = open_structures(tmp_path / "a.dat", ENERGY, reading=ReadingOptions.of("extxyz"))
    assert len(store) == 3


def test_several_records_of_an_sdf_with_energies(tmp_path: Path) -> None:
    record = (
        "hydrogen\n\n\n  2  0  0  0  0  0  0  0  0  0999 V2000\n"
        "    0.0000    0.0000    0.0000 H   0  0\n    0.0000    0.0000    {:6.4f} H   0  0\n"
        "M  END\n> <energy>\n{}\n\n$$$$\n"
    )
    (tmp_path / "a.sdf").write_text(
        "".join(record.format(0.74 + i / 10, -1.0 - i) for i in range(4))
    )
    store = open_structures(tmp_path / "a.sdf", ENERGY)
    assert store.labels["energy"].tolist() == [-1, -2, -3, -4]
    assert store.manifest["source"]["files"][0]["frames"] == 4


@pytest.mark.parametrize("number", [150, -3, 0, 119])
def test_numbers_that_are_no_elements(tmp_path: Path, number: int) -> None:
    good, bad = molecule("H2O"), molecule("H2O")
    bad.numbers[1] = number
    ase.io.write(tmp_path / "a.traj", [good, bad])
    message = rf"a\.traj, frame 1: atom 1 \(counted from 0\) is no element.* {number}.*1 to 118"
    with pytest.raises(StructureFileError, match=message):
        open_structures(tmp_path / "a.traj", ENERGY | {"energy": {"key": "e", "unit": "eV"}})


def test_stress_and_virial_of_six_numbers(tmp_path: Path) -> None:
    frame = (
        '2\nlattice="8 0 0 0 8 0 0 0 8" {}="1 2 3 4 5 6"\n'  # xx yy zz yz xz xy
        "O 0.0 0.0 0.0\nH 0.0 0.0 0.97\n"
    )
    full = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    for name, unit, expected in (("stress", "eV/Å^3", full), ("virial", "eV", -full / 512)):
        (tmp_path / "a.xyz").write_text(frame.format(name))
        store = open_structures(tmp_path / "a.xyz", {name: {"key": name, "unit": unit}})
        assert np.allclose(store.labels["stress"], expected)


def test_every_structure_of_a_joined_poscar(tmp_path: Path) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    ase.io.write(tmp_path / "POSCAR", atoms, format="vasp")
    text = (tmp_path / "POSCAR").read_text()
    (tmp_path / "POSCAR").write_text(3 * text)
    assert len(open_structures(tmp_path / "POSCAR", {})) == 3


def test_labels_that_are_all_zero_are_pointed_out(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info = {"energy": 0.0}  # what ASE makes of a dump
    ase.io.write(tmp_path / "a.extxyz", [atoms] * 3)
    with pytest.warns(UserWarning, match="energy: all 3 values are exactly zero"):
        open_structures(tmp_path / "a.extxyz", ENERGY)
