"""``molnet scan`` as a user runs it."""

import csv
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import molecule

from molnet.commands.scan import main
from molnet.simulate.relaxation import Relaxed, relax
from tests.report.harness import Page


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ethanol, benzene and two waters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    ase.io.write("ethanol.xyz", molecule("CH3CH2OH"))
    ase.io.write("benzene.xyz", molecule("C6H6"))
    dimer = molecule("H2O") + molecule("H2O")
    dimer.positions[3:] += [0, 0, 3.0]
    ase.io.write("dimer.extxyz", [dimer, dimer])
    return tmp_path


def test_a_torsion_is_scanned_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ethanol.xyz", "coordinate=[0,1,2,3]", "from=60", "to=180", "steps=4"])
    out = capsys.readouterr().out
    assert "ethanol (C2H6O): torsion C0-C1-O2-H3, relaxed" in out
    assert "written to ethanol.scan\nto look at: ethanol.scan/report.html" in out
    made = sorted(path.name for path in (folder / "ethanol.scan").iterdir())
    assert made == ["report.html", "scan.csv", "scan.extxyz"]
    structures = ase.io.read("ethanol.scan/scan.extxyz", ":")
    with open("ethanol.scan/scan.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(structures) == len(rows) == 5
    for row, atoms, angle in zip(rows, structures, (60, 90, 120, 150, 180), strict=True):
        assert float(row["torsion (°)"]) == atoms.info["torsion"] == angle
        assert atoms.get_dihedral(0, 1, 2, 3) == pytest.approx(angle, abs=1e-4)
        assert float(row["energy (eV)"]) == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        assert row["converged"] == "True"
        assert f"{float(row['relative energy (kJ/mol)']):8.2f}" in out
    page = Page(folder / "ethanol.scan/report.html")
    assert page.misplaced == []
    (shown,) = page.drawn
    assert shown["at"] == shown["x"] == [60, 90, 120, 150, 180]
    relative = shown["values"]["relative energy (kJ/mol)"]
    written = [float(row["relative energy (kJ/mol)"]) for row in rows]
    assert relative == pytest.approx(written, abs=1e-3)
    assert (folder / "ethanol.scan/report.html").stat().st_size < 3e6


def test_several_structures_have_folders_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rigid = ["relax=false", "steps=2", "coordinate=[0,3]", "from=2.8", "to=3.2"]
    main(["dimer.extxyz", *rigid])
    out = capsys.readouterr().out
    assert out.count("distance O0-O3, rigid") == 2
    for name in ("dimer-0", "dimer-1"):
        structures = ase.io.read(folder / "dimer.scan" / name / "scan.extxyz", ":")
        distances = [atoms.get_distance(0, 3) for atoms in structures]
        np.testing.assert_allclose(distances, [2.8, 3.0, 3.2], atol=1e-6)
        assert "converged" not in structures[0].info
        header = (folder / "dimer.scan" / name / "scan.csv").read_text().split("\n")[0]
        assert header == "distance (Å),energy (eV),relative energy (kJ/mol)"


def test_a_broken_bond_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    main(["ethanol.xyz", "coordinate=[1,2]", "from=1.4", "to=3.4", "steps=1", "relax=false"])
    out = capsys.readouterr().out
    assert "other bonds than at the start: 3.4 Å: C1-O2 broken" in out
    assert "C1-O2 broken" in Page(Path("ethanol.scan/report.html")).text


def test_points_outside_of_the_domain_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    main(["ethanol.xyz", "coordinate=[1,2]", "from=1.4", "to=0.6", "steps=1", "relax=false"])
    assert "outside of what the model was trained on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ethanl.xyz", "coordinate=[0,1]", "to=2"], "Did you mean 'ethanol.xyz'?"),
        (["ethanol.xyz"], "coordinate is not set: coordinate=[0,1] for a distance"),
        (["ethanol.xyz", "coordinate=[0,1,1,2]"], "received 1 twice: [0,1,1,2]"),
        (["ethanol.xyz", "coordinate=[0]"], "expected two atoms (a distance)"),
        (["ethanol.xyz", "coordinate=C-C"], "coordinate=C-C: expected two to four atoms"),
        (
            ["ethanol.xyz", "coordinate=[0,1,2,9]"],
            "frame 0: expected atoms from 0 to 8, received 9",
        ),
        (["ethanol.xyz", "coordinate=[0,1,2,-1]"], "counted from 0, received -1"),
        (
            ["ethanol.xyz", "coordinate=[0,1]"],
            "to is not set: give to=VALUE, the last distance in Å",
        ),
        (["ethanol.xyz", "coordinate=[0,1]", "to=-2"], "frame 0: expected distances > 0 Å"),
        (["ethanol.xyz", "coordinate=[0,1,2]", "to=180"], "expected angles from 1 to 179°"),
        (["ethanol.xyz", "coordinate=[0,1,2,3]", "steps=0"], "received steps=0"),
        (["ethanol.xyz", "coordinate=[0,1,2,3]", "from=90", "to=90"], "expected different ends"),
        (["ethanol.xyz", "coordinate=[0,1,2,3]", "from=soon"], "from=soon: expected a number"),
        (["ethanol.xyz", "coordinate=[0,1,2,3]", "fmax=0"], "expected fmax > 0"),
        (["ethanol.xyz", "coordinat=[0,1]"], "did you mean 'coordinate'?"),
        (["ethanol.xyz", "coordinate=[0,1,2,3]", "step=5"], "unknown option step: did you mean"),
        (
            ["benzene.xyz", "coordinate=[0,1]", "to=1.6", "relax=false"],
            "C0 and C1 also hang together",
        ),
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
    names = {path.name for path in folder.iterdir()}
    assert names == {"ethanol.xyz", "benzene.xyz", "dimer.extxyz"}


def test_a_scan_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["ethanol.xyz", "coordinate=[1,2]", "to=1.5", "steps=1", "relax=false"]
    main(arguments)
    monkeypatch.delenv("HYDRA_FULL_ERROR")  # the command sets it for its own process
    with pytest.raises(SystemExit):
        main(arguments)
    assert "ethanol.scan holds a scan already" in capsys.readouterr().err


def test_ctrl_c_leaves_the_points_so_far(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def relaxed_until_interrupted(*arguments: Any, **settings: Any) -> Iterator[Relaxed]:
        for point in relax(*arguments, **settings):
            signal.raise_signal(signal.SIGINT)
            yield point

    monkeypatch.setattr("molnet.simulate.scan.relax", relaxed_until_interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["ethanol.xyz", "coordinate=[0,1,2,3]", "from=60", "to=180", "steps=4"])
    assert ended.value.code == 130
    assert "interrupted before its end" in capsys.readouterr().out
    assert len(ase.io.read("ethanol.scan/scan.extxyz", ":")) == 1


def test_what_a_file_leaves_open_is_stated(folder: Path) -> None:
    ase.io.write("ethanol.dat", molecule("CH3CH2OH"), format="extxyz")
    rigid = ["coordinate=[0,1,2,3]", "to=90", "steps=2", "relax=false"]
    main(["ethanol.dat", "format=extxyz", *rigid])
    assert len(ase.io.read("ethanol.scan/scan.extxyz", ":")) == 3
