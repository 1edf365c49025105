"""Twenty SIGKILLs of a training, many of them within a save: nothing is lost, and nothing differs.

``python scripts/train.py ... resume=auto`` is started again and again, on a disk on which every
renaming takes a while, and killed: some time after its start, or in the middle of a save. All the
while the saved model is loaded again and again.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule

from molnet.models import load_model

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
SLOW_DISK = """
import os, time
original = os.replace
def replace(source, target, **options):
    with open(os.environ["RENAMINGS"], "a") as log:
        log.write(f"{target}\\n")
    time.sleep(0.1)
    original(source, target, **options)
    time.sleep(0.05)
os.replace = replace
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training of sixty short epochs."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        atoms = molecule("H2O")
        atoms.rattle(0.1, rng=rng)
        atoms.info["energy"] = float(atoms.positions.std())
        atoms.arrays["forces"] = rng.normal(size=(3, 3))
        frames.append(atoms)
    folder = tmp_path_factory.mktemp("data")
    ase.io.write(folder / "water.extxyz", frames)
    return [
        sys.executable,
        str(ROOT / "scripts" / "train.py"),
        "dataset=structures",
        f"dataset.path={folder / 'water.extxyz'}",
        f"dataset.cache={folder / 'stores'}",
        "dataset.labels.energy.unit=eV",
        "dataset.labels.forces.unit=eV/Å",
        "dataset.batch_size=2",
        "model=small",
        "model.channels=4",
        "model.radial_hidden=[8]",
        "optimizer.lr=1e-3",  # so that the model improves, and is saved, often
        "trainer.accelerator=cpu",
        "trainer.threads=1",
        "trainer.max_epochs=60",
        "logger=none",
    ]


class Watcher(threading.Thread):
    """Loads the model of a run again and again, from the first time that it is there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.loaded = 0
        self.faults: list[str] = []
        self.ended = False

    def run(self) -> None:
        while not (self.folder / "model" / "config.json").exists() and not self.ended:
            time.sleep(0.01)
        while not self.ended:
            try:
                load_model(self.folder, device="cpu")
                self.loaded += 1
            except (ValueError, OSError) as error:
                self.faults.append(repr(error))


def killed(command: list[str], slow: dict[str, str], rng: random.Random, kind: str) -> None:
    """Start the training and kill it."""
    log = Path(slow["RENAMINGS"])
    log.write_text("")
    process = subprocess.Popen(
        command, env=os.environ | slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if kind == "at any time":
            time.sleep(rng.uniform(0.0, 8.0))
        else:
            least = rng.randint(1, 8)
            while process.poll() is None and not _is_saving(log, least, kind == "in a save"):
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.08 if kind == "in a save" else 1.0))
        assert process.poll() is None, "it has ended before it was killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _is_saving(log: Path, least: int, now: bool) -> bool:
    """Whether files have been renamed so often, and, if asked, one of a save is being renamed."""
    targets = log.read_text().splitlines()
    saves = ("/checkpoints/", "/model/")
    return len(targets) >= least and not (now and not any(part in targets[-1] for part in saves))


def half_saved(folder: Path) -> bool:
    """Whether something was being saved when the run was killed."""
    return any(
        path.name.endswith(".partial") or ".next." in path.name
        for path in [*folder.glob("checkpoints/*"), *folder.glob("model/*")]
    )


@pytest.mark.slow
def test_twenty_kills_change_nothing(command: list[str], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*command, f"hydra.run.dir={whole}"], check=True, capture_output=True)

    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW_DISK)
    path = os.pathsep.join([str(tmp_path / "slow"), str(ROOT)])
    slow = {"PYTHONPATH": path, "RENAMINGS": str(tmp_path / "renamings")}
    again = [*command, f"hydra.run.dir={broken}", "resume=auto"]
    rng = random.Random(0)  # noqa: S311 - nothing secret
    watcher = Watcher(broken)
    watcher.start()
    in_saves = 0
    kinds = ["in a save"] * (KILLS // 2) + ["in training"] * (KILLS // 4)
    kinds += ["at any time"] * (KILLS - len(kinds))
    rng.shuffle(kinds)
    for kind in kinds:
        killed(again, slow, rng, kind)
        in_saves += half_saved(broken)
    subprocess.run(again, check=True, capture_output=True)
    watcher.ended = True
    watcher.join()

    print(f"\n{KILLS} kills, {in_saves} of them in a save; {watcher.loaded} models loaded")
    assert in_saves >= 5
    assert watcher.faults == []
    assert watcher.loaded > KILLS
    assert not half_saved(broken)
    assert not list(broken.rglob("*.partial"))
    for name in ("last.ckpt", "best.ckpt"):
        expected, found = (
            torch.load(folder / "checkpoints" / name, weights_only=True)
            for folder in (whole, broken)
        )
        for part in ("state_dict", "optimizer_states", "global_step"):
            torch.testing.assert_close(found[part], expected[part], rtol=0, atol=0)
    weights = "model/model.safetensors"
    assert (broken / weights).read_bytes() == (whole / weights).read_bytes()
    predictions = "test_predictions.extxyz"
    assert (broken / predictions).read_text() == (whole / predictions).read_text()
