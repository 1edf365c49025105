"""``molnet neb`` as a user runs it."""

import csv
import signal
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.optimize import LBFGS

from molnet.commands.neb import main
from tests.report.harness import Page


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ammonia, its mirror image, and what does not fit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    ammonia = molecule("NH3")
    ase.io.write("up.xyz", ammonia)
    ase.io.write("reordered.xyz", ammonia[[1, 0, 2, 3]])
    ammonia.positions[:, 2] *= -1
    ase.io.write("down.xyz", ammonia)
    turned = molecule("NH3")
    turned.rotate(40, "x")
    ase.io.write("turned.xyz", turned)
    ase.io.write("water.xyz", molecule("H2O"))
    Path("broken.xyz").write_text("4\n\nN 0 0\nH 1 0 0\n")
    return tmp_path


FILES = {*(f"{n}.xyz" for n in ("up", "down", "turned", "reordered", "water", "broken"))}


def test_ammonia_inverts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["up.xyz", "down.xyz", "images=7"])
    out = capsys.readouterr().out
    assert "up to down (H3N), 7 images" in out
    assert "a saddle point of first order" in out
    assert "converged after" in out
    assert "written to up.neb\nto look at: up.neb/report.html" in out
    names = sorted(path.name for path in (folder / "up.neb").iterdir())
    assert names == ["highest.extxyz", "path.csv", "path.extxyz", "report.html"]
    images = ase.io.read("up.neb/path.extxyz", ":")
    with open("up.neb/path.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(images) == len(rows) == 7
    energies = [image.get_potential_energy() for image in images]
    np.testing.assert_allclose([float(row["energy (eV)"]) for row in rows], energies, atol=1e-5)
    highest = ase.io.read("up.neb/highest.extxyz")
    assert highest.get_potential_energy() == pytest.approx(max(energies))
    assert highest.info["image"] == 3
    page = Page(folder / "up.neb/report.html")
    assert page.misplaced == []
    path, modes = page.drawn
    assert len(path["at"]) == len(path["positions"]) == 7
    heights = path["values"]["relative energy (kJ/mol)"]
    assert max(heights) == pytest.approx(96.4853 * np.ptp(energies), abs=0.3)
    assert modes["frequencies"][0] < 0 < modes["frequencies"][1]
    assert (folder / "up.neb/report.html").stat().st_size < 3e6


def test_an_unfinished_path_is_told_and_continued(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["up.xyz", "down.xyz", "images=5", "steps=1", "fmax=1e-3", "frequencies=false"])
    assert ended.value.code == 2
    out = capsys.readouterr().out
    assert "not converged: " in out
    assert "Go on with more steps: molnet neb up.neb/path.extxyz" in out
    assert "imaginary" not in out
    assert "Not converged: " in Page(Path("up.neb/report.html")).text
    main(["up.neb/path.extxyz", "fmax=1e-3", "frequencies=false"])
    out = capsys.readouterr().out
    assert "path 0 to path 4 (H3N), 5 images" in out
    assert "converged after" in out
    assert "written to path.neb" in out


def test_ctrl_c_leaves_the_path_so_far(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = LBFGS.step

    def interrupted(optimiser: LBFGS, *arguments: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return step(optimiser, *arguments)

    monkeypatch.setattr(LBFGS, "step", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["up.xyz", "down.xyz", "images=5", "fmax=1e-3"])
    assert ended.value.code == 130
    out = capsys.readouterr().out
    assert "after 1 steps" in out
    assert "Go on with more steps: molnet neb up.neb/path.extxyz" in out
    assert len(ase.io.read("up.neb/path.extxyz", ":")) == 5


def test_what_a_file_leaves_open_is_stated() -> None:
    for name in ("up", "down"):
        ase.io.write(f"{name}.dat", ase.io.read(f"{name}.xyz"), format="extxyz")
    main(["up.dat", "down.dat", "format=extxyz", "images=3", "frequencies=false"])
    assert len(ase.io.read("up.neb/path.extxyz", ":")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up.xyz"], "expected two structures, the ends of the path, received one (up.xyz"),
        (["up.xyz", "dwn.xyz"], "Did you mean 'down.xyz'?"),
        (["up.xyz", "water.xyz"], "have different atoms, H3N1 and H2O1"),
        (["up.xyz", "reordered.xyz"], "atom 0 (counted from 0) is N in the one and H in the other"),
        (["up.xyz", "turned.xyz"], "relax to the same structure"),
        (["up.xyz", "broken.xyz"], "broken.xyz"),
        (["up.xyz", "down.xyz", "images=2"], "images >= 3, both ends among them"),
        (["up.xyz", "down.xyz", "steps=0"], "expected steps >= 1"),
        (["up.xyz", "down.xyz", "fmax=-1"], "expected fmax > 0"),
        (["up.xyz", "down.xyz", "image=5"], "unknown option image: did you mean 'images'?"),
        (["up.xyz", "down.xyz", "up.xyz", "images=5"], "expected images=3"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == FILES
