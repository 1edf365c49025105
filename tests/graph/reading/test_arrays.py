"""Files of arrays: MD17's and sGDML's npz, HDF5 of the kinds of ANI-1, ANI-1x and SPICE."""

import sys
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase.build import molecule

from molnet.graph.frames import ReadingOptions, StructureFileError, read_frames, units_in_files

WATER, METHANE = molecule("H2O"), molecule("CH4")
RNG = np.random.default_rng(0)


def moved(atoms, count: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    return atoms.positions + RNG.normal(scale=0.05, size=(count, len(atoms), 3))


@pytest.mark.parametrize(
    ("z", "r", "e", "f"),
    [("z", "R", "E", "F"), ("nuclear_charges", "coords", "energies", "forces")],
    ids=["MD17", "rMD17"],
)
def test_npz(z: str, r: str, e: str, f: str, tmp_path: Path) -> None:
    positions, forces = moved(METHANE, 1100), RNG.normal(size=(1100, 5, 3))
    energies = RNG.normal(size=(1100, 1) if e == "E" else 1100)
    contents = {z: METHANE.numbers, r: positions, e: energies, f: forces, "theory": "PBE"}
    np.savez(tmp_path / "a.npz", **contents)
    frames = list(read_frames(tmp_path / "a.npz"))
    assert len(frames) == 1100
    for index in (0, 999, 1000, 1099):
        assert (frames[index].numbers == METHANE.numbers).all()
        np.testing.assert_array_equal(frames[index].positions, positions[index])
        np.testing.assert_array_equal(frames[index].arrays[f], forces[index])
        assert frames[index].info == {e: pytest.approx(energies.ravel()[index])}
        assert not frames[index].pbc.any()


def test_structures_filled_up_with_zeros_and_vectors_of_three(tmp_path: Path) -> None:
    numbers = np.array([[8, 1, 1, 0, 0], METHANE.numbers])
    positions = np.zeros((2, 5, 3))
    positions[0, :3], positions[1] = WATER.positions, METHANE.positions
    np.savez(tmp_path / "a.npz", Z=numbers, R=positions, q=np.arange(10.0).reshape(2, 5))
    water, methane = read_frames(tmp_path / "a.npz")
    assert str(water.symbols) == "OH2"
    assert water.arrays["q"].tolist() == [0, 1, 2]
    assert methane.arrays["q"].tolist() == [5, 6, 7, 8, 9]
    labels = {"dipole": np.ones((2, 3)), "charges": np.ones((2, 3))}
    np.savez(tmp_path / "b.npz", z=WATER.numbers, R=moved(WATER, 2), **labels)
    for atoms in read_frames(tmp_path / "b.npz"):
        assert atoms.info["dipole"].shape == (3,)
        assert atoms.arrays["charges"].shape == (3,)


def test_units_that_sgdml_declares(tmp_path: Path) -> None:
    positions = moved(WATER, 2)
    units = {"r_unit": "Bohr", "e_unit": "kcal/mol"}
    np.savez(tmp_path / "a.npz", z=WATER.numbers, R=positions, E=np.ones(2), **units)
    assert units_in_files(tmp_path / "a.npz") == {"E": "kcal/mol", "F": "kcal/mol/Bohr"}
    first = next(read_frames(tmp_path / "a.npz"))
    np.testing.assert_allclose(first.positions, positions[0] * 0.529177210903, rtol=1e-6)
    with pytest.raises(StructureFileError, match="has its positions in Bohr"):
        next(read_frames(tmp_path / "a.npz", ReadingOptions(positions_unit="nm")))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"R": np.zeros((2, 3, 3))}, "expected an array of one of the names nuclear_charges"),
        ({"z": np.ones(4), "R": np.zeros((2, 3, 3))}, r"expected z \[3\] or \[2, 3\]"),
        ({"z": np.ones(3), "R": np.zeros((2, 3, 2))}, r"expected R \[structures, atoms, 3\]"),
        ({"z": np.array(["C", "Q"]), "R": np.zeros((2, 2, 3))}, "'Q' is no element"),
        ({"z": np.array([1.5]), "R": np.zeros((2, 1, 3))}, "whole atomic numbers"),
        (
            {"z": np.ones(2), "R": np.zeros((4, 2, 3)), "F": np.zeros((3, 2, 3))},
            r"expected F \[4, 2, 3\], as R has, got \[3, 2, 3\]",
        ),
        ({"z": np.array([{}]), "R": np.zeros((2, 1, 3))}, "pickled Python objects"),
    ],
)
def test_what_is_no_set_of_structures(contents: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **contents)
    with pytest.raises(StructureFileError, match=message):
        list(read_frames(tmp_path / "a.npz"))


def test_a_cut_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", z=WATER.numbers, R=moved(WATER, 50))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(StructureFileError, match="cannot be read as npz"):
        list(read_frames(tmp_path / "a.npz"))


def test_groups_of_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    water, methane = moved(WATER, 3), moved(METHANE, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        ani = file.create_group("gdb11_s01/gdb11_s01-0")  # ANI-1: symbols, a group of groups
        ani["species"] = np.array([symbol.encode() for symbol in WATER.symbols])
        ani["coordinates"], ani["energies"] = water, np.arange(3.0)
        spice = file.create_group("methane")
        spice["atomic_numbers"], spice["conformations"] = METHANE.numbers, methane
        spice["dft_total_gradient"] = -methane
        spice["smiles"] = [b"C"]
    frames = list(read_frames(tmp_path / "a.h5"))
    assert [str(atoms.symbols) for atoms in frames] == ["OH2"] * 3 + ["CH4"] * 2
    assert [atoms.info["name"] for atoms in frames] == ["gdb11_s01-0"] * 3 + ["methane"] * 2
    assert [atoms.info["energies"] for atoms in frames[:3]] == [0, 1, 2]
    np.testing.assert_array_equal(frames[4].arrays["dft_total_gradient"], -methane[1])


def test_units_in_the_attributes_of_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("water")
        group["atomic_numbers"] = WATER.numbers
        group["conformations"] = moved(WATER, 1) / 0.529177210903
        group["conformations"].attrs["units"] = "bohr"
        group["dft_total_energy"] = [-76.0]
        group["dft_total_energy"].attrs["units"] = "hartree"
    (atoms,) = read_frames(tmp_path / "a.hdf5")
    assert atoms.get_distance(0, 1) == pytest.approx(0.97, abs=0.2)
    assert units_in_files(tmp_path / "a.hdf5") == {"dft_total_energy": "hartree"}


def test_hdf5_without_structures_or_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["numbers"] = [1]
    with pytest.raises(StructureFileError, match="expected a group with atomic numbers"):
        list(read_frames(tmp_path / "a.h5"))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(StructureFileError, match=r'pip install "molnet\[hdf5\]"'):
        list(read_frames(tmp_path / "a.h5"))


def test_lmdb_of_ase(tmp_path: Path) -> None:
    pytest.importorskip("ase_db_backends")
    with ase.db.connect(tmp_path / "a.aselmdb", type="aselmdb", serial=True) as database:
        for atoms in (WATER, METHANE):
            database.write(atoms, key=len(atoms), data={"forces": np.ones((len(atoms), 3))})
    water, methane = read_frames(tmp_path / "a.aselmdb")
    assert (str(water.symbols), str(methane.symbols)) == ("OH2", "CH4")
    assert methane.info["key"] == 5
    assert methane.info["forces"].shape == (5, 3)
