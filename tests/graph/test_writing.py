"""Files of structures with results, read back with ASE and with molnet's own readers."""

from collections.abc import Callable
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from molnet.graph.frames import read_frames, units_in_files
from molnet.graph.writing import Database, ExtendedXYZ, StructureWriter, Trajectory, attach

FORMATS: list[tuple[str, Callable[..., StructureWriter]]] = [
    ("extxyz", ExtendedXYZ),
    ("traj", Trajectory),
    ("db", Database),
]


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.info |= {"name": "water", "config_type": "md300", "charge": 1, "frame": 7, "C2": 3}
    atoms.info["box"] = np.array([1.5, 2.5, 3.5])
    atoms.arrays["residues"] = np.array(["A", "B", "B"])
    atoms.set_tags([3, 4, 5])
    atoms.set_momenta(np.arange(9.0).reshape(3, 3))
    atoms.set_constraint(FixAtoms([1]))
    values = {
        "energy": -1234.123456789012,
        "forces": np.arange(9.0).reshape(3, 3) / 7,
        "homo": -3.25,
        "shielding": np.arange(27.0).reshape(3, 3, 3),
    }
    attach(atoms, values, of_atoms=["forces", "shielding"])
    return atoms


@pytest.mark.parametrize(("suffix", "writer"), FORMATS)
def test_all_of_a_structure_comes_back(
    tmp_path: Path, suffix: str, writer: Callable[..., StructureWriter]
) -> None:
    path = tmp_path / f"out.{suffix}"
    file = writer(path, {"energy": "eV"})
    crystal = bulk("Cu")
    attach(crystal, {"stress": np.arange(9.0).reshape(3, 3)}, [])
    for atoms in (water(), crystal):
        file.write(atoms)
    file.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    found, metal = read_frames(path)
    expected = water()
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-8)
    assert found.get_potential_energy() == -1234.123456789012
    raw = found.get_forces(apply_constraint=False)
    np.testing.assert_allclose(raw, np.arange(9.0).reshape(3, 3) / 7, atol=1e-8)
    np.testing.assert_array_equal(found.get_tags(), [3, 4, 5])
    np.testing.assert_array_equal(found.get_momenta(), np.arange(9.0).reshape(3, 3))
    assert found.constraints[0].index.tolist() == [1]
    for name in ("name", "config_type", "charge", "frame", "C2", "homo"):
        assert found.info[name] == expected.info[name]
    np.testing.assert_array_equal(found.info["box"], [1.5, 2.5, 3.5])
    place = found.arrays if suffix == "extxyz" else found.info
    np.testing.assert_array_equal(place["shielding"], np.arange(27.0).reshape(3, 9))
    assert list(place["residues"]) == ["A", "B", "B"]
    assert metal.pbc.all()
    np.testing.assert_allclose(metal.cell.array, bulk("Cu").cell.array)
    np.testing.assert_allclose(metal.get_stress(), [0, 4, 8, 6, 4, 2])


def test_a_database_can_be_searched_and_declares_its_units(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    (tmp_path / "out.db-journal").write_bytes(b"left by a process that was killed")
    file = Database(path, {"energy": "eV", "forces": "eV/Ang"})
    file.write(water())
    file.close()
    with ase.db.connect(path) as database:
        assert [row.homo for row in database.select(config_type="md300")] == [-3.25]
    assert units_in_files(path) == {"energy": "eV", "forces": "eV/Ang"}


def test_a_database_holds_numbers_that_cannot_be_searched_for(tmp_path: Path) -> None:
    atoms = water()
    atoms.info |= {"charge": np.int64(0), "mol-id": np.int64(4), "T-max": np.float64(1.5)}
    file = Database(tmp_path / "out.db", {})
    file.write(atoms)
    file.close()
    with ase.db.connect(tmp_path / "out.db") as database:
        data = next(database.select()).data
    assert (data["charge"], data["mol-id"], data["T-max"]) == (0, 4, 1.5)


def test_compressed_extended_xyz(tmp_path: Path) -> None:
    file = ExtendedXYZ(tmp_path / "out.xyz.gz", {}, compressed=True)
    file.write(water())
    file.close()
    assert ase.io.read(tmp_path / "out.xyz.gz", format="extxyz").info["name"] == "water"


@pytest.mark.parametrize("suffix", ["traj", "db"])
def test_a_spacegroup_of_a_cif_file_is_a_text(tmp_path: Path, suffix: str) -> None:
    ase.io.write(tmp_path / "a.cif", bulk("C", "diamond", a=3.57))
    atoms = ase.io.read(tmp_path / "a.cif")
    assert not isinstance(atoms.info["spacegroup"], str)
    writer = {"traj": Trajectory, "db": Database}[suffix](tmp_path / f"out.{suffix}", {})
    writer.write(atoms)
    writer.close()
    (again,) = ase.io.iread(tmp_path / f"out.{suffix}", index=":")
    np.testing.assert_allclose(again.positions, atoms.positions)
