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

ROOT = Path(__file__).parents[2]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "molnet", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
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


KILLED_IN_SAVES = """
import sys
from molnet.commands.console import main
from molnet.simulate import molecular_dynamics
molecular_dynamics.SECONDS_BETWEEN_SAVES = 0.0
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_dynamics_that_are_killed_ten_times_end_as_uninterrupted_ones(folder: Path) -> None:
    """The state is saved at each frame, so that many kills come in the middle of it."""
    settings = ("ensemble=bussi", "interval=2", "time=0.3", "device=cpu")
    code, _, errors = run(folder, "md", "methanol.xyz", "output=whole", *settings)
    assert code == 0, errors
    log, state = folder / "run" / "log.csv", folder / "run" / "settings.json"
    rng, kills = np.random.default_rng(0), 0
    while kills < 10:
        known = len(log.read_bytes()) if log.exists() else 0
        how = ["resume=run"] if state.exists() else ["methanol.xyz", "output=run", *settings]
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED_IN_SAVES, "md", *how],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        grown = known + int(rng.integers(1, 1200))  # some frames
        while process.poll() is None and not (log.exists() and len(log.read_bytes()) > grown):
            time.sleep(0.002)
        assert process.poll() is None, "it has ended before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    code, _, errors = run(folder, "md", "resume=run")
    assert code == 0, errors
    for name in ("trajectory.extxyz", "log.csv"):
        assert (folder / "run" / name).read_bytes() == (folder / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["md"], "input is not set: molnet md FILE"),
        (["vibrations"], "input is not set: molnet vibrations FILE"),
        (["vibrations", "methanol.xyz", "supercell=[2,2]"], "expected a length > 0 in Å, or how"),
        (["vibrations", "methanol.xyz", "supercell=0"], "supercell=0: expected a length > 0"),
        (["md", "methanol.xyz", "format=xzy"], "xzy"),
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


def test_what_a_file_leaves_open_is_stated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it for its own process
    monkeypatch.chdir(folder)
    expected = molecule("CH3OH")
    in_bohr = expected.copy()
    in_bohr.positions /= ase.units.Bohr
    ase.io.write("bohr.xyz", in_bohr)
    for command, options in (("md", ["time=0.001"]), ("vibrations", ["fmax=null"])):
        monkeypatch.setattr(
            sys, "argv", ["molnet", command, "bohr.xyz", "positions_unit=Bohr", *options]
        )
        main()
    for name in ("bohr.md/trajectory.extxyz", "bohr.vibrations/relaxed.extxyz"):
        found = ase.io.read(name, 0)
        np.testing.assert_allclose(found.positions, expected.positions, atol=1e-6)


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
