"""The unit of positions in files of every kind."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames


@pytest.mark.parametrize(
    "format", ["extxyz", "vasp", "proteindatabank", "sdf", "gen", "traj", "cif"]
)
@pytest.mark.parametrize(("unit", "factor"), [("Bohr", 0.529177), ("nm", 10.0), ("Å", 1.0)])
def test_positions_and_cells_are_converted(
    tmp_path: Path, format: str, unit: str, factor: float
) -> None:
    atoms = molecule("H2O") if format == "sdf" else bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    ase.io.write(tmp_path / "a", atoms, format=format)
    (plain,) = read_frames(tmp_path / "a", ReadingOptions.of(format))
    (found,) = read_frames(tmp_path / "a", ReadingOptions.of(format, positions_unit=unit))
    assert np.allclose(found.positions, factor * plain.positions, rtol=1e-5)
    assert np.allclose(found.cell.array, factor * plain.cell.array, rtol=1e-5)


@pytest.mark.parametrize(("format", "unit"), [("turbomole", "Bohr"), ("gromacs", "nm")])
def test_formats_of_a_fixed_unit(tmp_path: Path, format: str, unit: str) -> None:
    water = Atoms(molecule("H2O"), cell=[9, 9, 9], pbc=True)
    ase.io.write(tmp_path / "a", water, format=format)
    (found,) = read_frames(tmp_path / "a", ReadingOptions.of(format, positions_unit=unit))
    assert found.get_distance(0, 1) == pytest.approx(water.get_distance(0, 1), abs=0.01)
    with pytest.raises(StructureFileError, match=rf"positions in {unit}, but positions_unit=Å"):
        list(read_frames(tmp_path / "a", ReadingOptions.of(format, positions_unit="Å")))


def test_formats_that_state_their_unit(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.cube", molecule("H2O"))
    assert len(list(read_frames(tmp_path / "a.cube", ReadingOptions.of(positions_unit="Å")))) == 1
    with pytest.raises(StructureFileError, match=r"format cube state the unit .* themselves"):
        list(read_frames(tmp_path / "a.cube", ReadingOptions.of(positions_unit="Bohr")))
