"""ASE databases: units that SchNetPack declares are used, and not contradicted."""

from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames, units_in_files
from molnet.units import UnitError


def database(path: Path, **metadata: object) -> Atoms:
    """A database as SchNetPack writes it: positions in Bohr, properties in ``data``."""
    atoms = molecule("H2O")
    scaled = atoms.copy()
    scaled.set_cell(np.diag([9.0, 9, 9]) / Bohr)
    scaled.positions /= Bohr
    with ase.db.connect(path) as written:
        written.write(scaled, data={"energy": np.array([-76.0]), "forces": np.ones((3, 3))})
        written.metadata = metadata
    return atoms


UNITS = {"_distance_unit": "Bohr", "_property_unit_dict": {"energy": "Hartree", "forces": "eV/Ang"}}


@pytest.mark.parametrize("suffix", ["db", "json"])
def test_declared_units_are_used(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    atoms = database(path, **UNITS)
    (found,) = read_frames(path)
    assert np.allclose(found.positions, atoms.positions)
    assert np.allclose(found.cell.array, np.diag([9, 9, 9]))
    assert units_in_files(path) == {"energy": "Hartree", "forces": "eV/Ang"}


@pytest.mark.parametrize("unit", ["Bohr", "bohr", "a0"])
def test_a_unit_said_twice(tmp_path: Path, unit: str) -> None:
    atoms = database(tmp_path / "a.db", **UNITS)
    (found,) = read_frames(tmp_path / "a.db", ReadingOptions.of(positions_unit=unit))
    assert np.allclose(found.positions, atoms.positions)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    database(tmp_path / "a.db", **UNITS)
    with pytest.raises(StructureFileError, match=r"positions in Bohr, but positions_unit=Å"):
        list(read_frames(tmp_path / "a.db", ReadingOptions.of(positions_unit="Å")))
    database(tmp_path / "b.db", _property_unit_dict={"energy": "eV"})
    with pytest.raises(
        StructureFileError, match=r"declares the unit 'eV' for 'energy', .*'Hartree'"
    ):
        units_in_files([tmp_path / "a.db", tmp_path / "b.db"])


def test_units_that_are_none(tmp_path: Path) -> None:
    database(tmp_path / "a.db", _distance_unit="parsec")
    with pytest.raises(StructureFileError, match="the unit of positions: unknown unit 'parsec'"):
        list(read_frames(tmp_path / "a.db"))
    database(tmp_path / "b.db", _property_unit_dict=["eV"])
    with pytest.raises(StructureFileError, match=r"expected _property_unit_dict \{NAME: UNIT\}"):
        list(read_frames(tmp_path / "b.db"))
    with pytest.raises(UnitError, match="positions_unit: "):
        ReadingOptions.of(positions_unit="eV")


def test_declarations_without_underscores(tmp_path: Path) -> None:
    atoms = database(tmp_path / "a.db", distance_unit="Bohr", property_unit_dict={"energy": "eV"})
    (found,) = read_frames(tmp_path / "a.db")
    assert np.allclose(found.positions, atoms.positions)
    assert units_in_files(tmp_path / "a.db") == {"energy": "eV"}


def test_a_database_without_declarations(tmp_path: Path) -> None:
    atoms = database(tmp_path / "a.db")
    (found,) = read_frames(tmp_path / "a.db")
    assert np.allclose(found.positions, atoms.positions / Bohr)
    (found,) = read_frames(tmp_path / "a.db", ReadingOptions.of(positions_unit="Bohr"))
    assert np.allclose(found.positions, atoms.positions)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    for suffix in ("db", "json"):
        (tmp_path / f"a.{suffix}").write_text("no database at all, but text of some length\n" * 9)
        with pytest.raises(StructureFileError, match=rf"a\.{suffix} cannot be read as {suffix}"):
            list(read_frames(tmp_path / f"a.{suffix}"))
