"""``molnet relax`` as a user runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from molnet.commands.relax import main
from tests.report.harness import Page

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "relax.py"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file of three molecules."""
    monkeypatch.chdir(tmp_path)
    structures = [molecule(name) for name in ("H2O", "CH3OH", "CH4")]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=seed)
        atoms.info["label"] = f"number {seed}"
        atoms.arrays["kind"] = np.arange(len(atoms))
    structures[1].set_constraint(FixAtoms([0]))
    ase.io.write("in.extxyz", structures)
    return tmp_path


def test_structures_are_relaxed_and_keep_what_they_came_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (folder / "in.extxyz").read_bytes()
    main(["in.extxyz"])
    printed = capsys.readouterr().out
    assert "3 of 3 structures converged" in printed
    assert "written to in.relaxed.extxyz" in printed
    assert (folder / "in.extxyz").read_bytes() == given
    starts = ase.io.read("in.extxyz", ":")
    for number, (start, end) in enumerate(
        zip(starts, ase.io.read("in.relaxed.extxyz", ":"), strict=True)
    ):
        assert end.info["label"] == f"number {number}"
        assert end.info["converged"]
        assert end.info["steps"] > 0
        assert end.info["source_frame"] == number
        np.testing.assert_array_equal(end.arrays["kind"], start.arrays["kind"])
        assert np.linalg.norm(end.get_forces(), axis=1).max() < 0.0105
    fixed = ase.io.read("in.relaxed.extxyz", 1)
    np.testing.assert_allclose(fixed.positions[0], starts[1].positions[0], atol=1e-7)
    assert fixed.constraints
    assert "to look at: in.relaxed.html" in printed
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["in.extxyz", "in.relaxed.extxyz", "in.relaxed.html"]


def test_a_structure_at_fault_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    structures = [molecule("H2O"), molecule("SiH4"), bulk("C", "diamond")]
    structures[2].set_cell(np.zeros((3, 3)))
    ase.io.write("mixed.traj", structures)
    main(["mixed.traj", "output=out.traj"])
    printed = capsys.readouterr().out
    assert "1 of 3 structures converged" in printed
    assert "mixed.traj, frame 1: " in printed
    assert "Si" in printed
    first, second, third = ase.io.read("out.traj", ":")
    assert first.info["converged"]
    assert "Si" in second.info["fault"]
    assert not third.info["converged"]
    np.testing.assert_array_equal(second.positions, structures[1].positions)


def test_the_page_shows_the_steps_of_a_few_structures(folder: Path) -> None:
    main(["in.extxyz", "output=out.extxyz.gz"])
    drawn = Page(folder / "out.html").drawn
    ends = ase.io.read("out.extxyz.gz", ":")
    assert len(drawn) == 3
    for data, end in zip(drawn, ends, strict=True):
        assert data["at"] == data["x"] == list(range(end.info["steps"] + 1))
        assert len(data["positions"]) == len(data["x"])
        energies = data["values"]["energy above the end (eV)"]
        assert energies[0] > 0.01
        assert energies[-1] == 0
        left = np.linalg.norm(end.get_forces(), axis=1).max()
        assert data["values"]["largest force (eV/Å)"][-1] == pytest.approx(left, rel=0.05)
        shown = np.reshape(data["positions"][-1], (-1, 3))
        distances = Atoms(data["symbols"], shown).get_all_distances()
        np.testing.assert_allclose(distances, end.get_all_distances(), atol=0.003)


def test_the_page_shows_what_needs_a_look_of_many_structures(folder: Path) -> None:
    structures = [molecule("CH4") for _ in range(8)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.02 if seed else 0.3, seed=seed)
    structures.append(molecule("SiH4"))
    ase.io.write("many.extxyz", structures)
    main(["many.extxyz", "steps=4", "fmax=0.05"])
    page = Page(folder / "many.relaxed.html")
    shown, *charts = page.drawn
    names = [structure["name"] for structure in shown["structures"]]
    assert names[0] == "many.extxyz, frame 0"
    assert names[-1] == "many.extxyz, frame 8"
    assert "failed: " in page.text
    assert "not converged: " in page.text
    for chart in charts:
        assert len(chart["series"]) == 3
        assert max(chart["x"]) == 4
    assert (folder / "many.relaxed.html").stat().st_size < 3e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.xyz"], "no structure file missing.xyz"),
        (["in.extxyz", "fmx=1"], "unknown option fmx: did you mean 'fmax'?"),
        (["in.extxyz", "fmax=0"], "expected fmax > 0"),
        (["in.extxyz", "cell=fll"], "unknown value cell=fll: did you mean 'full'?"),
        (["in.extxyz", "cell=full"], "in.extxyz, frame 0: the cell cannot be relaxed"),
        (["in.extxyz", "output=in.extxyz"], "is also an input"),
        (["in.extxyz", "output=out.csv"], "expected an output for structures"),
        (["in.extxyz", "output=in.extxyz/out.xyz"], "cannot write here"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused(arguments, monkeypatch)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["in.extxyz"]


def refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # An earlier command of this process has left it on.
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1


@pytest.mark.slow
def test_a_relaxation_that_is_killed_again_and_again_ends_as_an_uninterrupted_one(
    folder: Path,
) -> None:
    structures = [molecule("CH3CH2OH") for _ in range(40)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.08, seed=seed)
    ase.io.write("many.extxyz", structures)
    options = ["many.extxyz", "dtype=float64", "max_atoms=20", "device=cpu"]
    main([*options, "output=whole.extxyz"])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    unfinished = folder / "many.relaxed.extxyz.unfinished/finished.traj"
    sizes = [0]
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *options],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            if unfinished.exists() and unfinished.stat().st_size > sizes[-1]:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not unfinished.exists():
            break
        sizes.append(unfinished.stat().st_size)
    assert len(sizes) > 3, "it was killed in the middle"
    subprocess.run([sys.executable, str(SCRIPT), *options], env=environment, check=True)
    whole, pieces = (ase.io.read(name, ":") for name in ("whole.extxyz", "many.relaxed.extxyz"))
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(other.positions, one.positions, atol=1e-6)
        assert other.info["steps"] == one.info["steps"]
    assert not unfinished.parent.exists()


def test_other_settings_do_not_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("molnet.simulate.writing.StructuresWriter._write", no_space)
        refused(["in.extxyz"], monkeypatch)
    assert "cannot write here (No space left on device)" in capsys.readouterr().err
    refused(["in.extxyz", "fmax=0.02"], monkeypatch)
    assert "fmax=0.01, now fmax=0.02" in capsys.readouterr().err
    main(["in.extxyz"])
    assert "(3 of them before the interruption)" in capsys.readouterr().out
    assert not (folder / "in.relaxed.extxyz.unfinished").exists()
