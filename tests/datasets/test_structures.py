"""Structure files: labels and units found, and every fault named by file and frame."""

import gzip
import logging
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.stress import full_3x3_to_voigt_6_stress

from molnet.datasets.as_atoms import as_atoms
from molnet.datasets.labels import parse_label_keys
from molnet.datasets.manifest import origin_of
from molnet.datasets.store import ArrayStore
from molnet.datasets.structures import open_structures
from molnet.datasets.tally import is_isolated_atom
from molnet.graph.frames import StructureFileError, count_frames, read_frames, resolve_paths
from molnet.properties import Property
from molnet.units import UnitError

ENERGY = {"energy": {"key": "energy", "unit": "eV"}}
FORCES = ENERGY | {"forces": {"key": "forces", "unit": "eV/Å"}}
STRESS = FORCES | {"stress": {"key": "stress", "unit": "eV/Å^3"}}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLNET_CACHE", str(tmp_path / "cache"))


def waters(count: int = 4) -> list[Atoms]:
    """Water molecules with energies and forces on an attached calculator."""
    rng = np.random.default_rng(0)
    frames = []
    for i in range(count):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(scale=0.05, size=(3, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-14.0 - i, forces=rng.normal(size=(3, 3)))
        frames.append(atoms)
    return frames


def copper(count: int = 3) -> list[Atoms]:
    """Strained copper with energy, forces and stress of a calculator."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell + rng.normal(scale=0.05, size=(3, 3)), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.05, size=(4, 3))
        atoms.calc = EMT()
        atoms.get_potential_energy(), atoms.get_stress()
        frames.append(atoms)
    return frames


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


# Labels are found wherever they stand


@pytest.mark.parametrize("suffix", ["extxyz", "xyz", "extxyz.gz", "xyz.xz", "traj", "db", "json"])
def test_labels_of_many_formats(tmp_path: Path, suffix: str) -> None:
    frames = waters()
    path = tmp_path / f"water.{suffix}"
    ase.io.write(path, frames, format="extxyz" if "xyz" in suffix else None)
    store = open_structures(path, FORCES)
    assert len(store) == 4
    assert np.allclose(store.labels["energy"], [-14, -15, -16, -17], atol=1e-8)
    forces = np.concatenate([atoms.get_forces() for atoms in frames])
    assert np.allclose(store.labels["forces"], forces, atol=1e-7)
    assert np.allclose(store.positions, np.concatenate([a.positions for a in frames]), atol=1e-7)


def test_published_sets(shared_data: Path) -> None:
    for name, frames, atoms in (("acac", 500, 15), ("3bpa", 500, 27)):
        (path,) = (shared_data / name).glob("train*.xyz")
        store = open_structures(path, FORCES)
        source = store.manifest["source"]
        assert len(store) == frames
        assert len(store.species) == frames * atoms
        assert source["labels"]["forces"]["count"] == frames
        assert source["files"][0]["frames"] == frames
        assert store.cells is None  # these files give molecules a box, with pbc="F F F"
        last = ase.io.read(path, -1)
        assert store.labels["energy"][-1] == last.get_potential_energy()
        assert np.array_equal(store.labels["forces"][-atoms:], last.get_forces())


def test_keys_in_info_and_arrays_and_a_declared_property(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info = {"REF_energy": -1.0, "shielding": np.arange(9.0), "dip": [[0.1, 0.2, 0.3]]}
    atoms.arrays["dft_forces"] = np.ones((3, 3))
    atoms.arrays["q"] = np.array([[-0.8], [0.4], [0.4]])
    ase.io.write(tmp_path / "a.extxyz", atoms)
    store = open_structures(
        tmp_path / "a.extxyz",
        {
            "energy": {"key": "REF_energy", "unit": "Hartree"},
            "forces": {"key": "dft_forces", "unit": "Hartree/Bohr"},
            "dipole": {"key": "dip", "unit": "Debye"},
            "charges": {"key": "q", "unit": "e"},
            "shielding": {"key": "shielding", "unit": "1"},
        },
        declared={"shielding": Property("shielding", "1", shape=(3, 3))},
    )
    assert store.labels["energy"][0] == pytest.approx(-units.Hartree)
    assert np.allclose(store.labels["forces"], units.Hartree / units.Bohr)
    assert np.allclose(store.labels["dipole"][0], np.array([0.1, 0.2, 0.3]) * units.Debye)
    assert store.labels["charges"].tolist() == [-0.8, 0.4, 0.4]
    assert store.labels["shielding"][0].tolist() == np.arange(9.0).reshape(3, 3).tolist()
    assert store.properties["shielding"] == Property("shielding", "1", shape=(3, 3))


def test_custom_keys_of_a_database(tmp_path: Path) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        atoms = molecule("H2O")
        database.write(atoms, u=-2.0, data={"f": np.ones((3, 3))})
    labels = {"energy": {"key": "u", "unit": "eV"}, "forces": {"key": "f", "unit": "eV/Å"}}
    store = open_structures(tmp_path / "a.db", labels)
    assert store.labels["energy"].tolist() == [-2.0]
    assert store.labels["forces"].tolist() == np.ones((3, 3)).tolist()


def test_constraints_do_not_zero_forces(tmp_path: Path) -> None:
    (atoms,) = waters(1)
    atoms.set_constraint(FixAtoms([0, 1]))
    ase.io.write(tmp_path / "a.traj", atoms)
    again = ase.io.read(tmp_path / "a.traj")
    assert not again.get_forces()[:2].any()  # what a careless reader gets
    store = open_structures(tmp_path / "a.traj", FORCES)
    assert np.array_equal(store.labels["forces"], atoms.get_forces(apply_constraint=False))


def test_stress_in_both_forms_and_as_virial(tmp_path: Path) -> None:
    frames = copper()
    expected = [atoms.get_stress(voigt=False) for atoms in frames]
    for atoms, stress in zip(frames, expected, strict=True):
        atoms.info["voigt"] = full_3x3_to_voigt_6_stress(stress) / units.GPa
        atoms.info["full"] = stress
        atoms.info["w"] = -stress * atoms.get_volume()
    ase.io.write(tmp_path / "a.extxyz", frames)

    def read(label: str, key: str, unit: str) -> np.ndarray:
        labels = {label: {"key": key, "unit": unit}}
        return open_structures(tmp_path / "a.extxyz", labels).labels["stress"]

    assert np.allclose(read("stress", "stress", "eV/Å^3"), expected, atol=1e-9)
    assert np.allclose(read("stress", "voigt", "GPa"), expected, atol=1e-9)
    assert np.allclose(read("stress", "full", "eV/Å^3"), expected, atol=1e-9)
    assert np.allclose(read("virial", "w", "eV"), expected, atol=1e-9)
    # Stretching raises the energy under tension: the sign that ASE's calculator has.
    stretched = bulk("Cu", cubic=True)
    stretched.set_cell(stretched.cell * 1.05, scale_atoms=True)
    stretched.calc = EMT()
    stretched.get_stress()
    ase.io.write(tmp_path / "b.extxyz", stretched)
    store = open_structures(tmp_path / "b.extxyz", STRESS)
    assert (np.diag(store.labels["stress"][0]) > 0).all()


def test_molecules_among_crystals_need_no_stress(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", [*copper(1), *waters(2)])
    store = open_structures(tmp_path / "a.extxyz", STRESS)
    assert np.isfinite(store.labels["stress"][0]).all()
    assert np.isnan(store.labels["stress"][1:]).all()
    assert store.manifest["source"]["labels"]["stress"]["count"] == 1
    ase.io.write(tmp_path / "b.extxyz", waters(2))
    with pytest.raises(StructureFileError, match=r"none of the 2 frames .* 'stress'"):
        open_structures(tmp_path / "b.extxyz", STRESS)


def test_several_files_and_globs(tmp_path: Path) -> None:
    for i in range(3):
        ase.io.write(tmp_path / f"part{i}.extxyz", waters(i + 1))
    by_glob = open_structures(tmp_path / "part*.extxyz", ENERGY)
    by_list = open_structures([str(tmp_path / f"part{i}.extxyz") for i in range(3)], ENERGY)
    assert by_glob.path == by_list.path
    assert [file["frames"] for file in by_glob.manifest["source"]["files"]] == [1, 2, 3]
    assert by_glob.labels["energy"].tolist() == [-14, -14, -15, -14, -15, -16]
    (tmp_path / "odd[1].extxyz").write_bytes((tmp_path / "part0.extxyz").read_bytes())
    assert resolve_paths(tmp_path / "odd[1].extxyz") == [tmp_path / "odd[1].extxyz"]


def test_the_store_is_built_once_and_anew_for_other_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.extxyz"
    ase.io.write(path, waters())
    with caplog.at_level(logging.INFO):
        first = open_structures(path, FORCES)
    assert "energy: 4 of 4 structures, key 'energy' in eV" in caplog.text
    built = (first.path / "manifest.json").stat().st_mtime_ns
    assert open_structures(path, FORCES).path == first.path
    assert (first.path / "manifest.json").stat().st_mtime_ns == built
    kcal = {"energy": {"key": "energy", "unit": "kcal/mol"}}
    assert open_structures(path, kcal).path != first.path
    ase.io.write(path, waters(5))
    assert len(open_structures(path, FORCES)) == 5


def test_single_frames_and_isolated_atoms_are_sound(tmp_path: Path) -> None:
    atoms = Atoms("H", [[0, 0, 0]], info={"energy": -13.6})
    ase.io.write(tmp_path / "a.extxyz", atoms)
    assert len(open_structures(tmp_path / "a.extxyz", ENERGY)) == 1


# Declarations


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ({"energy": {"key": "energy"}}, UnitError, r"labels\.energy has no unit.*Hartree"),
        ({"energy": {"key": "e", "unit": ""}}, UnitError, r"labels\.energy has no unit"),
        ({"energy": {"key": "e", "unit": "hartre"}}, UnitError, "Did you mean 'hartree'"),
        ({"energy": {"key": "e", "unit": "eV/Å"}}, UnitError, r"labels\.energy\.unit: cannot conv"),
        ({"forces": {"key": "f", "unit": "eV"}}, UnitError, r"labels\.forces\.unit: cannot conv"),
        ({"virial": {"key": "w", "unit": "GPa"}}, UnitError, r"labels\.virial\.unit: cannot conv"),
        ({"enrgy": {"key": "e", "unit": "eV"}}, KeyError, "Did you mean 'energy'"),
        ({"energy": "energy"}, ValueError, r"expected \{key: NAME IN THE FILES, unit: UNIT\}"),
        ({"energy": {"key": "e", "units": "eV"}}, ValueError, r"expected \{key: NAME"),
        ({"stress": {}, "virial": {}}, ValueError, "stress or virial, got both"),
    ],
)
def test_wrong_declarations(labels: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_label_keys(labels)


# Files at fault


def test_missing_empty_and_unknown_files(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.extxyz", waters())
    with pytest.raises(
        FileNotFoundError, match=r"no structure file .*Did you mean '.*water.extxyz'"
    ):
        open_structures(tmp_path / "watr.extxyz", ENERGY)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_structures(tmp_path / "nowhere" / "a.xyz", ENERGY)
    with pytest.raises(FileNotFoundError, match="no structure file"):
        open_structures(tmp_path / "*.cif", ENERGY)
    with pytest.raises(StructureFileError, match=r"got the folder .*glob"):
        open_structures(tmp_path, ENERGY)
    with pytest.raises(ValueError, match="empty list"):
        open_structures([], ENERGY)
    (tmp_path / "empty.xyz").touch()
    with pytest.raises(StructureFileError, match=r"empty\.xyz is empty"):
        open_structures(tmp_path / "empty.xyz", ENERGY)
    (tmp_path / "blank.xyz").write_text("\n\n")
    with pytest.raises(StructureFileError, match=r"blank\.xyz holds no structure"):
        open_structures(tmp_path / "blank.xyz", ENERGY)
    (tmp_path / "notes").write_text("hello\n")
    with pytest.raises(StructureFileError, match="does not recognise the format"):
        open_structures(tmp_path / "notes", ENERGY)


def test_every_way_to_cut_an_xyz_file_is_found(tmp_path: Path) -> None:
    whole = tmp_path / "whole.extxyz"
    ase.io.write(whole, waters(3))
    text = whole.read_bytes()
    frame = len(text) // 3
    assert text[:frame] + text[frame : 2 * frame] != text  # frames of equal length
    cut = tmp_path / "cut.extxyz"
    for length in range(frame + 1, 2 * frame):
        cut.write_bytes(text[:length])
        if text[frame:length].strip() == b"":
            continue
        with pytest.raises(StructureFileError, match=r"cut\.extxyz"):
            open_structures(cut, FORCES)
    cut.write_bytes(text[: 2 * frame])  # at the end of a frame: nothing shows it
    assert len(open_structures(cut, FORCES)) == 2


def test_cut_and_damaged_archives_are_found(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", waters(50))
    packed = gzip.compress((tmp_path / "a.extxyz").read_bytes())
    path = tmp_path / "a.extxyz.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(StructureFileError, match=r"a\.extxyz\.gz is damaged or was cut short"):
        open_structures(path, ENERGY)
    middle = len(packed) // 2
    path.write_bytes(packed[:middle] + b"\0" * 20 + packed[middle + 20 :])
    with pytest.raises(StructureFileError, match=r"a\.extxyz\.gz"):
        open_structures(path, ENERGY)


def test_an_unreadable_frame_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    ase.io.write(path, waters(4))
    lines = lines_of(path)  # five lines for each frame

    def refuse(changed: list[str], message: str) -> None:
        path.write_text("".join(changed))
        with pytest.raises(StructureFileError, match=message):
            open_structures(path, FORCES)

    garbled = lines.copy()
    garbled[12] = "O 0.0 zero 0.0 0 0 0\n"
    refuse(garbled, r"a\.extxyz, frame 2: line 13: expected a number, got 'zero'")
    unknown = lines.copy()
    unknown[12] = unknown[12].replace("O ", "Qq")
    refuse(unknown, r"a\.extxyz, frame 2: line 13: 'Qq' is no element")
    short = lines[:12] + lines[13:]  # frame 2 lacks an atom
    refuse(short, r"a\.extxyz, frame (2|3)")
    long = [*lines[:12], lines[12], *lines[12:]]  # frame 2 has one too many
    refuse(long, r"a\.extxyz, frame 3: expected a line with the number of atoms")


def test_blank_lines_between_frames_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    ase.io.write(path, waters(4))
    lines = lines_of(path)
    path.write_text("".join([*lines[:10], "\n", *lines[10:], "\n"]))
    assert len(ase.io.read(path, ":")) == 2  # ASE stops there in silence
    assert count_frames(path) == 4
    assert open_structures(path, ENERGY).labels["energy"].tolist() == [-14, -15, -16, -17]


def test_frames_with_cell_vectors_in_lines(tmp_path: Path) -> None:
    text = "1\n\nH 0 0 0\nVEC1 4 0 0\nVEC2 0 4 0\n" * 2
    (tmp_path / "a.xyz").write_text(text)
    first, second = read_frames(tmp_path / "a.xyz")
    assert first.pbc.tolist() == second.pbc.tolist() == [True, True, False]
    assert first.cell.lengths().tolist() == [4, 4, 0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.positions.__setitem__((1, 2), np.nan), "position of atom 1 .* not finite"),
        (lambda a: a.positions.__setitem__(1, a.positions[0]), "atoms 0 and 1 .* same place"),
        (lambda a: a.set_pbc([True, False, False]), "periodic in direction 0.* zero"),
        (lambda a: a.numbers.__setitem__(1, 0), r"atom 1 .* no element"),
        (lambda a: a.calc.results.update(energy=np.nan), r"'energy' \(energy\) must be finite"),
        (lambda a: a.calc.results["forces"].__setitem__(0, np.inf), r"'forces' .* must be finite"),
        (lambda a: a.calc.results.update(energy="low"), "expected numbers of shape"),
        (lambda a: a.calc.results.update(energy=True), "expected numbers of shape"),
        (lambda a: a.calc.results.update(forces=np.ones((2, 3))), r"shape \(3, 3\), got \(2, 3\)"),
        (lambda a: a.calc.results.update(forces=np.ones(9)), r"shape \(3, 3\), got \(9,\)"),
        (lambda a: a.calc.results.update(energy=np.ones(3)), r"the shape \(\), got \(3,\)"),
    ],
)
def test_unsound_frames_are_named(
    tmp_path: Path, spoil: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = waters(4)
    spoil(frames[2])  # type: ignore[operator]
    ase.io.write(tmp_path / "a.xyz", waters(4))  # the file's own text is not what is tested here
    monkeypatch.setattr("molnet.datasets.pieces.read_frames", lambda *_: iter(frames))
    with pytest.raises(StructureFileError, match=rf"a\.xyz, frame 2: .*{message}"):
        open_structures(tmp_path / "a.xyz", FORCES)
    assert not list((tmp_path / "cache").iterdir())


def test_no_atoms(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("0\nenergy=1.0\n")
    with pytest.raises(StructureFileError, match=r"a\.xyz, frame 0"):
        open_structures(tmp_path / "a.xyz", ENERGY)


def test_labels_missing_in_some_frames_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = waters(9)
    for i in (1, 3, 4, 7):
        del frames[i].calc.results["forces"]
    ase.io.write(tmp_path / "a.extxyz", frames[:4])
    ase.io.write(tmp_path / "b.extxyz", frames[4:])
    del frames[8].calc.results["forces"], frames[8].calc.results["energy"]
    ase.io.write(tmp_path / "b.extxyz", frames[4:])
    caplog.set_level(logging.INFO)
    store = open_structures(tmp_path / "*.extxyz", FORCES)
    assert len(store) == 8
    assert "forces: 4 of 8 structures, key 'forces' in eV/Å" in caplog.text
    assert "1 frames have none of the labels and are left out" in caplog.text
    missing = np.isnan(store.labels["forces"].reshape(8, -1))
    assert np.flatnonzero(missing.all(axis=1)).tolist() == [1, 3, 4, 7]
    assert np.flatnonzero(missing.any(axis=1)).tolist() == [1, 3, 4, 7]
    assert not np.isnan(store.labels["energy"]).any()
    ArrayStore.open(store.path, verify=True)


def test_atoms_without_a_label_are_rows_of_nan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = waters(2)
    frames[0].arrays["q"] = np.array([np.nan, 0.1, -0.1])
    frames[1].arrays["q"] = np.array([-0.2, 0.1, 0.1])
    ase.io.write(tmp_path / "a.extxyz", frames)
    caplog.set_level(logging.INFO)
    store = open_structures(tmp_path / "a.extxyz", {"charges": {"key": "q", "unit": "e"}})
    assert np.isnan(store.labels["charges"]).tolist() == [True, *[False] * 5]
    assert "charges: 2 of 2 structures, 5 of their 6 atoms, key 'q' in e" in caplog.text


def test_a_wrong_key_names_the_nearest(tmp_path: Path) -> None:
    frames = waters(2)
    for atoms in frames:
        atoms.info["REF_energy"] = 1.0
    ase.io.write(tmp_path / "a.extxyz", frames)
    with pytest.raises(StructureFileError, match=r"Did you mean 'REF_energy'\?.*energy, forces"):
        open_structures(tmp_path / "a.extxyz", {"energy": {"key": "ref_energy", "unit": "eV"}})


def test_a_wrong_key_is_found_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molnet.datasets.tally.LOOKED_AT_FIRST", 3)
    monkeypatch.setattr("molnet.datasets.pieces.FRAMES", 3)
    ase.io.write(tmp_path / "a.extxyz", waters(9))
    with pytest.raises(StructureFileError, match="none of the 3 frames read has 'e'"):
        open_structures(tmp_path / "a.extxyz", {"energy": {"key": "e", "unit": "eV"}})


def test_implausible_magnitudes_are_pointed_out(tmp_path: Path) -> None:
    frames = waters()
    for atoms in frames:
        atoms.calc.results["forces"] = 100 * atoms.calc.results["forces"]
    ase.io.write(tmp_path / "a.extxyz", frames)
    wrong = FORCES | {"forces": {"key": "forces", "unit": "Hartree/Bohr"}}
    for _ in range(2):  # built, and opened again
        with pytest.warns(UserWarning, match=r"forces: .*implausible. Is 'Hartree/Bohr' really"):
            open_structures(tmp_path / "a.extxyz", wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(open_structures(tmp_path / "a.extxyz", FORCES), ArrayStore)


# Structures that cannot be what the file says


def test_a_wrong_unit_of_length_is_refused_unless_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = waters(4)
    for atoms in frames[2:]:
        atoms.positions /= 10
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames)
    message = r"a\.extxyz, frame 2: atoms 0 .* nm, not Å\? .*dataset\.accept_implausible=true"
    with pytest.raises(StructureFileError, match=message):
        open_structures(path, FORCES)
    for _ in range(2):  # built, and opened again
        caplog.clear()
        assert len(open_structures(path, FORCES, accept_implausible=True)) == 4
        assert "2 of 4 frames: implausible distances or density, accepted" in caplog.text
    with pytest.raises(StructureFileError, match="accept_implausible"):
        open_structures(path, FORCES)  # what was accepted once is asked again


def test_a_placeholder_cell_is_no_cell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = waters(4)
    for atoms in frames[1:]:
        atoms.set_cell([1, 1, 1])
        atoms.pbc = True
    ase.io.write(tmp_path / "a.extxyz", frames)
    store = open_structures(tmp_path / "a.extxyz", FORCES)
    assert store.cells is None
    assert "3 of 4 frames: the cell is a cube of 1 Å, which stands for no cell" in caplog.text


ATOMS = (("H", -13.0), ("O", -400.0))


def isolated(*energies: tuple[str, float], **info: object) -> list[Atoms]:
    return [Atoms(symbol, info={"energy": energy, **info}) for symbol, energy in energies]


def test_isolated_atoms_are_references_and_no_structures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [isolated(*ATOMS)[0], *waters(2), isolated(*ATOMS)[1], *waters(1)]
    ase.io.write(tmp_path / "a.extxyz", frames)
    caplog.set_level(logging.INFO)
    store = open_structures(tmp_path / "a.extxyz", FORCES)
    assert len(store) == 3
    assert store.manifest["source"]["isolated_atoms"] == {"energy": dict(ATOMS)}
    assert "isolated atoms, H -13.0000, O -400.0000, of which 2 frames are not" in caplog.text
    assert origin_of(store.manifest, 2, store.path).endswith("a.extxyz, frame 4")
    assert len(open_structures(tmp_path / "a.extxyz", FORCES, isolated_atoms=None)) == 5


def test_which_frames_are_isolated_atoms() -> None:
    assert is_isolated_atom(Atoms("H"))
    assert is_isolated_atom(Atoms("H", cell=[12, 12, 12], pbc=True))
    assert not is_isolated_atom(bulk("Fe"))
    assert is_isolated_atom(
        Atoms("Fe", cell=[3] * 3, pbc=True, info={"config_type": "IsolatedAtom"})
    )
    assert not is_isolated_atom(Atoms("Na", info={"charge": 1}))
    assert not is_isolated_atom(molecule("H2"))


def test_isolated_atoms_that_differ_or_have_their_own_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [*isolated(*ATOMS, ("H", -13.6)), *waters(2)]
    ase.io.write(tmp_path / "a.extxyz", frames)
    store = open_structures(tmp_path / "a.extxyz", ENERGY)
    assert store.manifest["source"]["isolated_atoms"]["energy"]["H"] == -13.6
    assert "isolated atom of H differ, from -13.600000 to -13.000000 eV" in caplog.text
    ase.io.write(tmp_path / "atoms.extxyz", isolated(("H", -14.0)))
    store = open_structures(tmp_path / "a.extxyz", ENERGY, isolated_atoms=tmp_path / "atoms.extxyz")
    assert store.manifest["source"]["isolated_atoms"] == {"energy": {"H": -14.0, "O": -400.0}}


# Columns: what else the files say


def test_numbers_and_short_words_of_info_are_columns(tmp_path: Path) -> None:
    frames = waters(3)
    frames[0].info |= {"config_type": "md300", "step": 7, "vector": [1, 2], "text": 201 * "x"}
    frames[1].info |= {"time": 0.5, "free_energy": 1.0, "flag": True, "rate": np.nan}
    ase.io.write(tmp_path / "w.extxyz", frames)
    store = open_structures(tmp_path / "w.extxyz", ENERGY)
    assert store.columns(0) == {"config_type": "md300", "step": 7}
    assert store.columns(1) == {"time": 0.5}
    assert store.columns(2) == {}
    assert store.manifest["source"]["columns"] == {"config_type": 1, "step": 1, "time": 1}
    atoms = as_atoms(store, 0)
    assert (atoms.info["config_type"], atoms.info["step"]) == ("md300", 7)


def test_columns_beyond_the_first_ones_are_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = waters(2)
    frames[1].info |= {f"c{index}": index for index in range(40)}
    ase.io.write(tmp_path / "w.extxyz", frames)
    store = open_structures(tmp_path / "w.extxyz", ENERGY)
    assert len(store.columns(1)) == 32
    assert "the first 32 are kept; 'c32' is not" in caplog.text
