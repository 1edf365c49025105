"""``molnet predict`` as a user runs it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule

from molnet.commands.predict import main
from molnet.models import Model, save_model
from molnet.simulate import Calculator

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "predict.py"
NETWORK = {
    "cutoff": 4.0,
    "channels": 4,
    "l_max": 1,
    "num_layers": 2,
    "parity": False,
    "num_radial": 4,
    "radial_hidden": [8],
    "envelope_power": 6,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a model for H, C and O, and a file of two molecules."""
    heads = {"energy": {"kind": "extensive", "forces": True}}
    save_model(Model(NETWORK, heads, [1, 6, 8], {"mean_neighbours": 8.0}), tmp_path / "run/model")
    ase.io.write(tmp_path / "in.xyz", [molecule("H2O"), molecule("CH3OH")])
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_predicts_and_leaves_nothing_else_behind(folder: Path) -> None:
    status, out, errors = run(folder, "model=run", "input=in.xyz", "dtype=float64", "batch_size=1")
    assert status == 0, errors
    assert errors == "", "short work shows no progress"
    assert "2 structures, 9 atoms" in out
    assert "written to in.predicted.extxyz" in out
    assert files(folder) == {"run", "in.xyz", "in.predicted.extxyz"}
    for atoms in ase.io.iread(folder / "in.predicted.extxyz"):
        found = atoms.get_forces()
        atoms.calc = Calculator(folder / "run", dtype=torch.float64)
        np.testing.assert_allclose(found, atoms.get_forces(), atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=run"], "input is not set: molnet predict FILE"),
        (["model=run", "in.xyz", "--output"], "without dashes, output=VALUE"),
        (["model=run", "in.xyz", "-o"], "--resolve. A file of that name is written as ./-o"),
        (["model=organik", "in.xyz"], "there is no model organik, neither a folder nor"),
        (["model=organik", "in.xyz"], "Did you mean 'organic'?"),
        (["in.xyz", "input=in.xyz"], "given by input= already"),
        (["model=run", "in.xyz", "--output", "a.csv"], "without dashes, output=a.csv"),
        (["model=run", "in.xyz", "output"], "needs a value: output=VALUE"),
        (["model=run", "in.xyz", "--hlep"], "did you mean '--help'?"),
        (["model=run", "input=in.xyz", "batchsize=3"], "did you mean 'batch_size'"),
        (["model=run", "input=in.xyz", "max_atoms=few"], "max_atoms"),
        (["model=run", "input=in.xyz", "dtype=float16"], "float32 or float64"),
        (["model=run", "input=in.xyz", "device=cudda"], "device 'cudda' cannot be used"),
        (["model=nowhere", "input=in.xyz"], "nowhere"),
        (["model=run", "input=im.xyz"], "in.xyz"),
        (["model=run", "input=in.xyz", "output=in.xyz"], "also an input"),
        (["model=run", "input=in.xyz", "output=run.xyz"], "this is a folder"),
        (["model=run", "input=in.xyz", "output="], "output=: expected the name"),
        (["model=run", "input=in.xyz", "output=[a.xyz]"], "output: "),
        (["model=run", "input=null"], "input=null: expected a file, a glob, or several"),
        (["model=run", "input="], "input=: expected a file"),
        (["model=run", "input=[]"], "input=[]: expected a file"),
        (["model=run", "input={a: 1}"], "expected a file"),
        (["model=run", "input=[in.xyz,null]"], "input=null: expected the name of a file"),
        (["model=run", "input=1.5"], "input=1.5: expected a file"),
        (["model=run", "input=~t.xyz"], "~t.xyz"),
        (["model=null", "input=in.xyz"], "model"),
        (["model=", "input=in.xyz"], "model=: expected the name of a file or folder"),
        (["model=[run]", "input=in.xyz"], "model"),
        (["model=~run", "input=in.xyz"], "~run"),
        (["model=run,run", "input=in.xyz"], "expected one name"),
        (["model=run", "input=in.xyz", "batch_size=0"], "batch_size=0: expected a finite number"),
        (["model=run", "input=in.xyz", "device=null", "device=[cpu]"], "device"),
        (["model=run", "input=salt.xyz"], "salt.xyz, frame 1: "),
        (["model=run", "input=in.xyz", "format=extxys"], "Did you mean 'extxyz'?"),
        (["model=run", "input=in.xyz", "elements=[C,Q]"], "elements: expected the symbol"),
        (["model=run", "input=in.xyz", "disorder=most"], "expected disorder=majority"),
        (["model=run", "input=in.xyz", "positions_unit=Bor"], "positions_unit: unknown unit"),
    ],
)
def test_mistakes_end_with_one_message(
    folder: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ase.io.write(folder / "salt.xyz", [molecule("H2O"), molecule("LiF")])
    (folder / "run.xyz").mkdir()
    before = files(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert not {name for name in files(folder) - before if not name.endswith(".partial")}


def test_names_are_relative_to_where_the_command_was_typed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["predict.py"])
    chdir = ["hydra.run.dir=elsewhere", "hydra.job.chdir=true"]
    for input in ("in.xyz", "i?.xyz", "[in.xyz]", "./in.xyz"):
        main(["model=run", f"input={input}", "output=out.csv", *chdir])
        assert (folder / "out.csv").is_file()
        (folder / "out.csv").unlink()
    assert not list((folder / "elsewhere").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", ["predict.py", "train.py", "evaluate.py"])
@pytest.mark.parametrize("seconds", [0.3, 0.9, 2.0])
@pytest.mark.slow
def test_an_interruption_in_the_first_seconds_ends_with_one_word(
    folder: Path, script: str, number: int, seconds: float
) -> None:
    """While libraries are imported, settings composed, data read."""
    ase.io.write(folder / "many.xyz", [molecule("CH3OH")] * 5_000)
    arguments = {
        "predict.py": ["model=run", "input=many.xyz"],
        "train.py": ["hydra.run.dir=new"],
        "evaluate.py": ["model=run", "dataset=organic", "hydra.run.dir=new"],
    }[script]
    process = subprocess.Popen(
        [sys.executable, SCRIPT.with_name(script), *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MOLNET_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(seconds)
    process.send_signal(number)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in out + errors
    assert ("Interrupted" if number == signal.SIGINT else "Terminated") in errors
    assert not list(folder.glob("new/checkpoints/*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_keeps_what_is_done(folder: Path, number: int) -> None:
    ase.io.write(folder / "many.xyz", [molecule("CH3OH")] * 3_000)
    process = start(folder, "model=run", "input=many.xyz", "batch_size=1")
    partial = folder / "many.predicted.extxyz.partial"
    deadline = time.monotonic() + 300  # on first use, kernels are compiled
    while not (partial.is_file() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    # Once in hundreds of runs a signal had no effect, as if a library had dropped its exception.
    # Whoever waits presses Ctrl-C again.
    while process.poll() is None:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + number, errors
    assert "predictions are kept in many.predicted.extxyz.partial" in out
    assert not (folder / "many.predicted.extxyz").exists()
    assert len(list(ase.io.iread(partial, format="extxyz"))) > 0
