"""``molnet md`` and ``molnet vibrations`` as a user runs them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

from molnet.commands.console import main


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "molnet", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a molecule that the bundled model knows."""
    ase.io.write(tmp_path / "methanol.xyz", molecule("CH3OH"))
    return tmp_path


def test_dynamics_are_interrupted_and_continued(folder: Path) -> None:
    settings = ("temperature=[100,300]", "interval=10", "time=0.5")
    code, out, errors = run(folder, "md", "methanol.xyz", "output=whole", *settings)
    assert code == 0, errors
    assert "methanol" in out
    assert "steps/s; written to whole" in out
    assert (folder / "whole" / "report.html").stat().st_size < 3e6

    process = start(folder, "md", "methanol.xyz", "output=run", *settings)
    log = folder / "run" / "log.csv"
    while process.poll() is None and not (log.exists() and len(log.read_text().split("\n")) > 5):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode in (0, 143)  # 0: it was faster
    if process.returncode:
        assert "md resume=run" in errors
        code, out, errors = run(folder, "md", "resume=run")
        assert code == 0, errors
    whole, again = (
        ase.io.read(folder / name / "trajectory.extxyz", ":") for name in ("whole", "run")
    )
    assert len(whole) == len(again) == 101
    np.testing.assert_array_equal(whole[-1].positions, again[-1].positions)
    assert whole[-1].info["time"] == pytest.approx(500.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["md"], "input is not set: molnet md FILE"),
        (["md", "methanl.xyz"], "Did you mean 'methanol.xyz'?"),
        (["md", "methanol.xyz", "ensemble=nvt"], "unknown value ensemble=nvt"),
        (["md", "methanol.xyz", "temperature=hot"], "temperature=hot: expected a number >= 0 in K"),
        (["md", "methanol.xyz", "interval=0"], "interval=0: expected a finite number from 1"),
        (["md", "resume=nowhere"], "nowhere holds no run of dynamics"),
        (["md", "resume=nowhere", "timestep=1"], "leave out timestep"),
        (["vibrations", "methanol.xyz", "indices=[9]", "fmax=null"], "from 0 to 5, received 9"),
        (["vibrations", "methanol.xyz", "temperatur=3"], "did you mean 'temperature'?"),
    ],
)
def test_mistakes_are_answered_in_a_line(
    folder: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it for its own process
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["molnet", *arguments])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert words in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} <= {"methanol.xyz"}


def test_vibrations_of_a_molecule(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it for its own process
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["molnet", "vibrations", "methanol.xyz"])
    main()
    out = capsys.readouterr().out
    assert "methanol (CH4O)" in out
    assert out.count("\n") > 12
    assert "zero-point energy" in out
    assert (folder / "methanol.vibrations" / "mode-12.extxyz").exists()
