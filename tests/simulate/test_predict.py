"""Predictions for files: what is written, in which units, and how faults end."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from filelock import FileLock

from molnet.graph.frames import ReadingOptions, StructureFileError
from molnet.models import FrozenModel, Model
from molnet.simulate import Calculator, predict_files
from molnet.simulate.predict import default_output

MakeModel = Callable[..., Model]
NAMES = ("H2O", "CH3OH", "C2H6", "CO", "CH4")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def structures() -> list[Atoms]:
    """Molecules, a crystal, and an isolated atom."""
    return [*(molecule(name) for name in NAMES), bulk("Cu") * (2, 1, 1), Atoms("C")]


def write(name: str, frames: list[Atoms] | None = None) -> Path:
    ase.io.write(name, frames or structures())
    return Path(name)


def read(name: str | Path) -> list[Atoms]:
    return list(ase.io.read(name, index=":"))


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


def test_extended_xyz_holds_structures_with_results_where_ase_looks(
    make_model: MakeModel, reference: LennardJones
) -> None:
    summary = predict_files(make_model(), write("in.xyz"), batch_size=3)
    assert summary.output == Path("in.predicted.extxyz")
    assert files() == {"in.xyz", "in.predicted.extxyz"}
    predicted = read("in.predicted.extxyz")
    assert len(predicted) == summary.structures == len(structures())
    for atoms, expected in zip(predicted, structures(), strict=True):
        assert atoms.get_chemical_formula() == expected.get_chemical_formula()
        np.testing.assert_allclose(atoms.positions, expected.positions, atol=1e-7)
        np.testing.assert_array_equal(atoms.pbc, expected.pbc)
        expected.calc = reference
        assert atoms.get_potential_energy() == pytest.approx(
            expected.get_potential_energy(), abs=1e-5
        )
        np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), rtol=1e-5, atol=1e-5)
        if expected.pbc.any():
            np.testing.assert_allclose(atoms.get_stress(), expected.get_stress(), atol=1e-6)
        else:
            assert "stress" not in atoms.calc.results


@pytest.mark.parametrize(("batch_size", "max_atoms"), [(1, 1000), (64, 1000), (64, 7), (2, 1)])
def test_batches_change_nothing(make_model: MakeModel, batch_size: int, max_atoms: int) -> None:
    write("in.xyz")
    predict_files(make_model(), "in.xyz", "a.xyz", batch_size=batch_size, max_atoms=max_atoms)
    for atoms, expected in zip(read("a.xyz"), read("in.xyz"), strict=True):
        calculator = Calculator(make_model())
        np.testing.assert_allclose(atoms.get_forces(), calculator.get_forces(expected), atol=1e-7)


def test_batches_are_bounded(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[list[int]] = []
    predict = FrozenModel.predict

    def spy(self: FrozenModel, atoms: list[Atoms], *arguments: Any) -> list[dict[str, np.ndarray]]:
        sizes.append([len(one) for one in atoms])
        return predict(self, atoms, *arguments)

    monkeypatch.setattr(FrozenModel, "predict", spy)
    predict_files(make_model(), write("in.xyz"), "out.csv", batch_size=3, max_atoms=9)
    assert sizes == [[3, 6], [8], [2, 5, 2], [1]]


def test_other_properties_stand_under_their_names_with_units(make_model: MakeModel) -> None:
    names = ("energy", "homo", "charges", "dipole", "polarizability", "moments")
    predict_files(make_model(*names), write("in.xyz"), "out.extxyz")
    atoms = read("out.extxyz")[0]
    np.testing.assert_allclose(atoms.get_dipole_moment(), [10, 20, -10])
    np.testing.assert_allclose(atoms.get_charges(), [0.8, 0.1, 0.1])
    assert atoms.info["homo"] == pytest.approx(-10 / 7)
    np.testing.assert_allclose(
        np.reshape(atoms.info["polarizability"], (3, 3)), 10 * np.arange(9).reshape(3, 3)
    )
    np.testing.assert_allclose(atoms.arrays["moments"], np.ones((3, 9)))
    assert "energy: eV" in atoms.info["units"]
    assert "forces: eV/Ang" in atoms.info["units"]
    assert "moments: e*Ang^2" in atoms.info["units"]


def test_labels_of_the_input_are_replaced_and_other_entries_kept(make_model: MakeModel) -> None:
    atoms = molecule("H2O")
    atoms.info |= {"name": "water", "homo": "unknown"}
    atoms.arrays["tag"] = np.array([3, 4, 5])
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1e6, forces=np.ones((3, 3)), stress=np.zeros(6)
    )
    predict_files(make_model("energy", "homo"), write("in.xyz", [atoms]), "out.xyz")
    (found,) = read("out.xyz")
    assert found.info["name"] == "water"
    np.testing.assert_array_equal(found.arrays["tag"], [3, 4, 5])
    expected = Calculator(make_model())
    assert found.get_potential_energy() == pytest.approx(expected.get_potential_energy(atoms))
    forces = found.get_forces(apply_constraint=False)
    np.testing.assert_allclose(forces, expected.get_forces(atoms), atol=1e-6)
    assert np.abs(forces[0]).max() > 0.1, "the constraint must not zero a prediction"
    assert found.info["homo"] == pytest.approx(-10 / 7)
    assert "stress" not in found.calc.results


def test_csv_has_a_row_for_each_structure_and_units_in_the_header(make_model: MakeModel) -> None:
    model = make_model("energy", "homo", "dipole", "charges", dtype=None)
    predict_files(model, write("in.xyz"), "out.csv")
    with open("out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(index) for index in range(7)]
    assert {row["file"] for row in rows} == {"in.xyz"}
    assert rows[0]["formula"] == "H2O"
    assert rows[0]["atoms"] == "3"
    assert float(rows[0]["homo (eV)"]) == pytest.approx(-10 / 7)
    assert float(rows[0]["dipole_y (e*Å)"]) == pytest.approx(20)
    assert rows[0]["stress_xx (eV/Å^3)"] == ""
    for row, atoms in zip(rows, read("in.xyz"), strict=True):
        atoms.calc = Calculator(model, skin=0)  # with a skin, sums run in another order
        assert float(row["energy (eV)"]) == atoms.get_potential_energy()
        largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
        assert float(row["max_force (eV/Å)"]) == pytest.approx(largest)
        if atoms.pbc.any():
            stress = [float(row[f"stress_{ab} (eV/Å^3)"]) for ab in ("xx", "yy", "yz", "zy")]
            np.testing.assert_allclose(stress, atoms.get_stress()[[0, 1, 3, 3]], rtol=1e-12)


def test_json_holds_everything(make_model: MakeModel) -> None:
    predict_files(make_model("energy", "charges"), write("in.xyz"), "out.json", batch_size=2)
    found = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert found["units"]["forces"] == "eV/Å"
    assert found["units"]["charges"] == "e"
    assert len(found["structures"]) == 7
    for entry, atoms in zip(found["structures"], read("in.xyz"), strict=True):
        atoms.calc = Calculator(make_model(), skin=0)  # with a skin, sums run in another order
        assert entry["symbols"] == atoms.get_chemical_symbols()
        np.testing.assert_array_equal(entry["positions"], atoms.positions)
        assert entry["energy"] == atoms.get_potential_energy()
        np.testing.assert_array_equal(entry["forces"], atoms.get_forces())
        assert len(entry["charges"]) == len(atoms)


def test_compressed_files_are_read_and_written(make_model: MakeModel) -> None:
    predict_files(make_model(), write("in.extxyz.gz"), "out.extxyz.gz")
    with gzip.open("out.extxyz.gz", "rt", encoding="utf-8") as file:
        assert len(list(ase.io.iread(file, format="extxyz"))) == 7


@pytest.mark.parametrize("name", ["in.traj", "in.cif", "in.db", "POSCAR"])
def test_other_formats_of_ase_are_read(make_model: MakeModel, name: str) -> None:
    write(name, [bulk("Cu")])
    summary = predict_files(make_model(), name, "out.csv")
    assert summary.structures == 1


def test_several_inputs_keep_their_origin(make_model: MakeModel) -> None:
    write("b.xyz", structures()[:2])
    write("a1.xyz", structures()[2:3])
    write("a2.xyz", structures()[3:])
    summary = predict_files(make_model(), ["b.xyz", "a*.xyz"], batch_size=4)
    assert summary.output == Path("predictions.extxyz")
    origins = [(a.info["source_file"], a.info["source_frame"]) for a in read(summary.output)]
    assert origins[:4] == [("b.xyz", 0), ("b.xyz", 1), ("a1.xyz", 0), ("a2.xyz", 0)]
    assert len(origins) == 7


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["runs/water.xyz"], "water.predicted.extxyz"),
        (["run.1.extxyz.gz"], "run.1.predicted.extxyz"),
        (["POSCAR"], "POSCAR.predicted.extxyz"),
        (["a.xyz", "b.xyz"], "predictions.extxyz"),
    ],
)
def test_default_names(files: list[str], expected: str) -> None:
    assert default_output([Path(name) for name in files]) == Path(expected)


def test_the_summary_counts_and_compares(make_model: MakeModel) -> None:
    frames = structures()[:2]
    for atoms, shift in zip(frames, (0.3, -0.6), strict=True):
        energy = Calculator(make_model()).get_potential_energy(atoms) + shift
        forces = Calculator(make_model()).get_forces(atoms) + 0.02
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    summary = predict_files(make_model(), write("in.traj", frames), "out.csv")
    assert (summary.structures, summary.atoms) == (2, 9)
    energies = [
        Calculator(make_model()).get_potential_energy(atoms) / len(atoms) for atoms in frames
    ]
    row = summary.ranges["energy per atom", "eV"]
    assert (row.minimum, row.maximum) == pytest.approx((min(energies), max(energies)))
    assert row.mean == pytest.approx(np.mean(energies))
    assert summary.errors["energy per atom", "meV"].mean == pytest.approx(100.0)
    assert summary.errors["force components", "meV/Å"].mean == pytest.approx(20.0)
    text = str(summary)
    for part in ("2 structures, 9 atoms", "energy per atom", "|forces|", "meV/Å", "out.csv"):
        assert part in text


@pytest.mark.parametrize("label", ["abc", "", "nan", "1e400", "-5,3"])
def test_labels_that_are_no_numbers_are_not_compared(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture, label: str
) -> None:
    Path("in.xyz").write_text(f"2\nenergy={label}\nH 0 0 0\nH 0 0 0.74\n" * 2)
    summary = predict_files(make_model(), "in.xyz", "out.csv")
    assert not summary.errors
    assert "labels that could not be compared: 2" in str(summary)
    (told,) = [r.getMessage() for r in caplog.records if "not compared" in r.getMessage()]
    assert told.startswith("in.xyz, frame 0: the label 'energy'")


def test_unlabelled_input_is_not_compared(make_model: MakeModel) -> None:
    summary = predict_files(make_model(), write("in.xyz"), "out.csv")
    assert not summary.errors
    assert "labels" not in str(summary)


def test_a_frame_that_cannot_be_read_is_named_and_the_rest_kept(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    lines = write("in.xyz").read_text().splitlines(keepends=True)
    atom = 5 + 8 + 4  # in the third frame, behind its first two lines and two atoms
    lines[atom] = lines[atom].replace(".", "?", 1)
    Path("in.xyz").write_text("".join(lines))
    Path("out.xyz").write_text("what was there before")
    with pytest.raises(StructureFileError, match=r"in\.xyz, frame 2"):
        predict_files(make_model(), "in.xyz", "out.xyz", batch_size=64)
    assert len(list(ase.io.iread("out.xyz.partial", format="extxyz"))) == 2
    assert "2 predictions are kept in out.xyz.partial" in caplog.text
    assert Path("out.xyz").read_text() == "what was there before"


def test_a_file_cut_short_is_found_out_before_anything_is_predicted(make_model: MakeModel) -> None:
    text = write("in.xyz", structures()[:2]).read_text()
    Path("in.xyz").write_text(text[: text.rindex("\n", 0, -1) - 10])
    with pytest.raises(StructureFileError, match=r"frame 1: expected 6 atoms.*cut short"):
        predict_files(make_model(), "in.xyz", "out.xyz")
    assert files() == {"in.xyz"}


def test_a_missing_line_end_is_only_warned_of(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    Path("in.xyz").write_text(write("in.xyz").read_text().rstrip("\n"))
    assert predict_files(make_model(), "in.xyz", "out.xyz").structures == 7
    assert "may have been cut" in caplog.text


def test_unknown_elements_are_named_with_file_and_frame(make_model: MakeModel) -> None:
    frames = structures()
    frames[3].symbols[1] = "Au"
    frames[5].positions[0] = np.nan  # a later fault of another kind must not hide the first
    with pytest.raises(StructureFileError, match=r"in.traj, frame 3: .*Au.*H, C, O, Cu"):
        predict_files(make_model(), write("in.traj", frames), "out.xyz")
    assert len(list(ase.io.iread("out.xyz.partial", format="extxyz"))) == 3


@pytest.mark.parametrize(
    ("position", "message"), [(np.nan, "atom 1 .*not finite"), (0.0, "atoms 0 and 1 .*same place")]
)
def test_broken_structures_are_named_with_file_and_frame(
    make_model: MakeModel, position: float, message: str
) -> None:
    broken = Atoms("CO", [[0, 0, 0], [position] * 3])
    with pytest.raises(StructureFileError, match=f"in.xyz, frame 1: .*{message}"):
        predict_files(make_model(), write("in.xyz", [molecule("H2O"), broken]))


def test_predictions_that_are_not_finite_are_named_with_file_and_frame(
    make_model: MakeModel,
) -> None:
    close = molecule("CO")
    close.positions[1] = close.positions[0] + [0, 0, 0.00105]  # (σ/r)^12 is beyond float32
    write("in.xyz", [molecule("CO"), molecule("H2O"), close, molecule("CO")])
    with pytest.raises(StructureFileError, match=r"in\.xyz, frame 2: the model predicts .* = "):
        predict_files(make_model(dtype=torch.float32), "in.xyz", "out.xyz")
    assert len(list(ase.io.iread("out.xyz.partial", format="extxyz"))) == 2


def test_a_fault_in_the_first_frame_leaves_nothing(make_model: MakeModel) -> None:
    write("in.xyz", [Atoms("Au")])
    with pytest.raises(StructureFileError, match="frame 0"):
        predict_files(make_model(), "in.xyz")
    assert files() == {"in.xyz"}


def test_an_interruption_keeps_what_is_done(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = FrozenModel.predict
    calls = iter(range(10))

    def interrupted(self: FrozenModel, *arguments: Any) -> list[dict[str, np.ndarray]]:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return predict(self, *arguments)

    monkeypatch.setattr(FrozenModel, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_files(make_model(), write("in.xyz"), batch_size=2)
    assert files() == {"in.xyz", "in.predicted.extxyz.partial"}
    assert len(list(ase.io.iread("in.predicted.extxyz.partial", format="extxyz"))) == 4


@pytest.mark.parametrize("content", ["", "\n\n", "not a structure\n"])
def test_files_without_structures_are_refused(make_model: MakeModel, content: str) -> None:
    Path("in.xyz").write_text(content)
    with pytest.raises(StructureFileError, match=r"in\.xyz"):
        predict_files(make_model(), "in.xyz")
    assert files() == {"in.xyz"}


def test_missing_files_are_named_with_the_nearest(make_model: MakeModel) -> None:
    write("waters.xyz")
    with pytest.raises(FileNotFoundError, match=r"waters\.xyz"):
        predict_files(make_model(), "water.xyz")


@pytest.mark.parametrize(
    ("input", "output"),
    [
        ("in.xyz", "in.xyz"),
        ("in.xyz", "./in.xyz"),
        ("in.xyz", "sub/../in.xyz"),
        ("in.xyz", "new/../in.xyz"),
        ("in.xyz", "link.xyz"),
        ("in.xyz", "hard.xyz"),
        ("link.xyz", "in.xyz"),
        ("*.xyz", "in.xyz"),
        (["sub/a.xyz", "in.xyz"], "in.xyz"),
        ("o.extxyz.partial", "o.extxyz"),
        ("o.extxyz*", "o.extxyz"),
        ("in.xyz", "of_link.xyz"),  # its partial file is a link to the input
        ("./sub/a.xyz.partial", "link_to_sub/a.xyz"),
    ],
)
def test_inputs_are_never_overwritten(
    make_model: MakeModel, input: str | list[str], output: str
) -> None:
    before = write("in.xyz").read_text()
    Path("sub").mkdir()
    Path("link.xyz").symlink_to("in.xyz")
    Path("of_link.xyz.partial").symlink_to("in.xyz")
    Path("link_to_sub").symlink_to("sub")
    Path("hard.xyz").hardlink_to("in.xyz")
    copies = [Path(name) for name in ("o.extxyz.partial", "sub/a.xyz", "sub/a.xyz.partial")]
    for copy in copies:
        copy.write_text(before)
    with pytest.raises(ValueError, match="also an input"):
        predict_files(make_model(), input, output)
    assert [path.read_text() for path in (Path("in.xyz"), *copies)] == [before] * 4


def test_a_glob_that_takes_in_the_former_output_is_refused(make_model: MakeModel) -> None:
    write("a.extxyz")
    write("b.extxyz")
    assert predict_files(make_model(), "*.extxyz").output == Path("predictions.extxyz")
    before = Path("predictions.extxyz").read_text()
    with pytest.raises(ValueError, match="also an input"):
        predict_files(make_model(), "*.extxyz")
    assert Path("predictions.extxyz").read_text() == before


@pytest.mark.parametrize("output", ["folder.xyz", "link_to_folder.xyz", "folder.xyz/"])
def test_a_folder_is_no_output_and_that_shows_at_once(make_model: MakeModel, output: str) -> None:
    Path("folder.xyz").mkdir()
    Path("link_to_folder.xyz").symlink_to("folder.xyz")
    with pytest.raises(OSError, match="this is a folder"):
        predict_files("no model is looked for", write("in.xyz"), output)
    assert not list(Path("folder.xyz").iterdir())


def test_two_predictions_do_not_write_to_one_file(make_model: MakeModel) -> None:
    with (
        FileLock(".out.xyz.lock"),
        pytest.raises(ValueError, match=r"another process is writing predictions to out\.xyz"),
    ):
        predict_files(make_model(), write("in.xyz"), "out.xyz")
    Path(".out.xyz.lock").touch()  # of a process that was killed
    assert predict_files(make_model(), "in.xyz", "out.xyz").structures == 7
    assert files() == {"in.xyz", "out.xyz"}


def test_a_name_may_begin_with_a_tilde(make_model: MakeModel) -> None:
    write("~water.xyz")
    assert predict_files(make_model(), "~water.xyz", "~out.xyz").structures == 7
    assert files() == {"~water.xyz", "~out.xyz"}


def test_unknown_output_formats_are_refused_at_once() -> None:
    for name in ("out.pdf", "out", "out.gz"):
        with pytest.raises(ValueError, match=r"\.extxyz, \.xyz, \.csv, \.json"):
            predict_files("no model is looked for", write("in.xyz"), name)


def test_places_that_cannot_be_written_are_named(make_model: MakeModel) -> None:
    write("in.xyz")
    with pytest.raises(OSError, match=r"output=FILE.*in\.xyz/out\.xyz"):
        predict_files("no model is looked for", "in.xyz", "in.xyz/out.xyz")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["out.xyz", "out.csv", "out.json", "out.json.gz"])
def test_a_full_disk_ends_with_the_place(make_model: MakeModel, name: str) -> None:
    Path(f"{name}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left.*{name}.partial"):
        predict_files(make_model(), write("in.xyz"), name)
    assert not Path(name).exists()


def test_folders_of_the_output_are_made(make_model: MakeModel) -> None:
    predict_files(make_model(), write("in.xyz"), "new/folder/out.csv")
    assert Path("new/folder/out.csv").is_file()


@pytest.mark.parametrize(("batch_size", "max_atoms"), [(0, 10), (10, 0)])
def test_impossible_bounds_are_refused(
    make_model: MakeModel, batch_size: int, max_atoms: int
) -> None:
    with pytest.raises(ValueError, match=f"received {batch_size} and {max_atoms}"):
        predict_files(make_model(), write("in.xyz"), batch_size=batch_size, max_atoms=max_atoms)


def test_input_is_streamed(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more frames are read ahead than the batch that is being predicted and the one after."""
    read_frames = 0
    behind: list[int] = []

    def counted(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
        nonlocal read_frames
        for _ in range(50):
            read_frames += 1
            yield molecule("CO")

    predict = FrozenModel.predict

    def spy(self: FrozenModel, *arguments: Any) -> list[dict[str, np.ndarray]]:
        behind.append(read_frames)
        return predict(self, *arguments)

    monkeypatch.setattr("molnet.simulate.predict.read_frames", counted)
    monkeypatch.setattr(FrozenModel, "predict", spy)
    predict_files(make_model(), write("in.xyz"), "out.csv", batch_size=10)
    assert behind == [11, 21, 31, 41, 50]


def methanol_in_nm() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.positions /= 10
    return atoms


def test_implausible_structures_are_named_and_counted(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [molecule("H2O"), *(methanol_in_nm() for _ in range(5)), molecule("CH4")]
    summary = predict_files(make_model(), write("in.xyz", frames), batch_size=3)
    assert summary.doubtful == 5
    assert "implausible structures (do not trust these): 5" in str(summary)
    told = [record.getMessage() for record in caplog.records if "not plausible" in record.msg]
    assert len(told) == 3
    assert "in.xyz, frame 1 is not plausible: atoms 1 (O) and 3 (H) are 0.097 Å apart" in told[0]
    assert "Is the unit of length nm, not Å?" in told[0]


def test_sound_structures_raise_no_doubt(make_model: MakeModel) -> None:
    summary = predict_files(make_model(), write("in.xyz"))
    assert summary.doubtful == 0
    assert "plausible" not in str(summary)


def test_a_placeholder_cell_is_no_cell(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    atoms = molecule("CH3OH")
    write("molecule.xyz", [atoms])
    atoms.set_cell([1, 1, 1])
    atoms.pbc = True
    write("placeholder.pdb", [atoms])
    write("placeholder.extxyz", [atoms, atoms])
    for name in ("molecule.xyz", "placeholder.pdb", "placeholder.extxyz"):
        predict_files(make_model(), name, f"{name}.json")
    (expected,) = json.loads(Path("molecule.xyz.json").read_text())["structures"]
    for name in ("placeholder.pdb", "placeholder.extxyz"):
        for found in json.loads(Path(f"{name}.json").read_text())["structures"]:
            assert found["pbc"] == [False] * 3
            assert "stress" not in found
            assert found["energy"] == pytest.approx(expected["energy"], rel=0.01)  # PDB: 3 digits
    told = [r.getMessage() for r in caplog.records if "stands for no cell" in r.getMessage()]
    assert len(told) == 2
