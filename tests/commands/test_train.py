"""``scripts/train.py`` as a user runs it."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few water molecules with made-up labels."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(16):
        atoms = molecule("H2O")
        atoms.rattle(0.1, rng=rng)
        atoms.info["E"] = float(atoms.positions.std())
        atoms.arrays["F"] = rng.normal(size=(3, 3))
        frames.append(atoms)
    path = tmp_path_factory.mktemp("my data") / "water (rattled).extxyz"
    ase.io.write(path, frames)
    return path


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / script), *arguments]


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"MOLNET_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}


def arguments_of_a_small_run(structures: Path) -> list[str]:
    return [
        "dataset=structures",
        f"dataset.path={structures}",
        "dataset.labels.energy={key: E, unit: eV}",
        "dataset.labels.forces={key: F, unit: eV/Ang}",
        "dataset.batch_size=2",
        "model=small",
        "model.channels=4",
        "model.radial_hidden=[8]",
        "trainer.accelerator=cpu",
        "trainer.threads=1",
    ]


def run_script(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end, which must be a good one."""
    run = subprocess.run(
        command(script, *arguments),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert "Warning" not in run.stderr
    return run


def interrupted_run(folder: Path, *arguments: str) -> str:
    """What a run says that gets Ctrl-C after its first epoch, however long that takes."""
    run = subprocess.Popen(
        command("train.py", *arguments),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(folder.glob("outputs/*/*/history.csv")):
            assert run.poll() is None, run.communicate()
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate()
    finally:
        run.kill()
    assert run.returncode == 130
    assert "Traceback" not in errors
    return errors


def test_a_run_that_is_interrupted_resumed_and_evaluated(structures: Path, tmp_path: Path) -> None:
    arguments = arguments_of_a_small_run(structures)
    errors = interrupted_run(tmp_path, *arguments, "trainer.max_epochs=100000")
    (resume,) = re.findall(r"python \S+/scripts/train\.py (resume=\S+)", errors)
    (folder,) = tmp_path.glob("outputs/*/*")
    epochs = len((folder / "history.csv").read_text().splitlines())

    run = run_script(tmp_path, "train.py", resume, f"trainer.max_epochs={epochs + 2}")
    assert list(tmp_path.glob("outputs/*/*")) == [folder]
    assert f"trainer.max_epochs: 100000 -> {epochs + 2}" in run.stdout
    assert len((folder / "history.csv").read_text().splitlines()) == epochs + 3
    for expected in ("16 structures", "H 32, O 16", "parameters", f"writes to   {folder}"):
        assert expected in run.stdout
    for written in ("metrics.json", "train.log", "model/model.safetensors", "test_forces.png"):
        assert (folder / written).is_file()

    (evaluation,) = re.findall(r"python \S+/scripts/(evaluate\.py .*)", run.stdout)
    assert evaluation.endswith("split=all")
    again = run_script(tmp_path, *shlex.split(evaluation.replace("split=all", "split=test")))
    assert errors_of_test_part(again.stdout) == errors_of_test_part(run.stdout)


def errors_of_test_part(printed: str) -> list[str]:
    """MAE, RMSE and count of the forces, which end the row of a table."""
    (row,) = re.findall(r"^forces .* meV/Å .*", printed, re.MULTILINE)
    return row.split()[-3:]


@pytest.mark.slow
def test_a_sweep_over_the_cutoff(structures: Path, tmp_path: Path) -> None:
    arguments = [*arguments_of_a_small_run(structures), "trainer.max_epochs=1"]
    run_script(tmp_path, "train.py", "-m", *arguments, "model.cutoff=3,4")
    folders = sorted(tmp_path.glob("multirun/*/*/*/model"))
    assert [folder.parent.name for folder in folders] == ["0", "1"]
