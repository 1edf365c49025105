"""Predictions for files: batches, formats of the input, and how faults end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph.frames import ReadingOptions, StructureFileError
from molnet.models import FrozenModel
from molnet.simulate import Calculator, predict_files
from tests.simulate.files import MakeModel, files, read, structures, write

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


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

    monkeypatch.setattr("molnet.simulate.inputs.read_frames", counted)
    monkeypatch.setattr(FrozenModel, "predict", spy)
    predict_files(make_model(), write("in.xyz"), "out.csv", batch_size=10)
    assert behind == [11, 21, 31, 41, 50]


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
