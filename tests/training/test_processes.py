"""Trainings by several processes: the same as by one, and ended together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molnet.training import processes
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import TrainerConfig
from molnet.training.errors import ConfigError

from .conftest import TINY_NETWORK

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "scripts" / "train.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]

Command = Callable[..., list[str]]


@pytest.fixture
def arguments(molecules: Path, stores: Path) -> Command:
    """The command line of a tiny run; its last batch has a single structure."""

    def arguments(folder: Path, *overrides: str) -> list[str]:
        return [
            *("dataset=structures", "logger=none", f"hydra.run.dir={folder}"),
            *(f"dataset.path={molecules}", f"dataset.cache={stores}"),
            *("dataset.labels.energy.unit=eV", "dataset.labels.forces.unit=eV/Å"),
            *("dataset.train_size=16", "dataset.validation_size=5", "dataset.batch_size=5"),
            *("trainer.accelerator=cpu", "trainer.progress_bar=false", "trainer.dtype=float64"),
            *("trainer.threads=1", "trainer.max_epochs=2"),
            *TINY_NETWORK,
            *overrides,
        ]

    return arguments


def run(command: list[str], expected: int = 0) -> str:
    """What a command prints, which ends with the expected status."""
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=1800)
    printed = ended.stdout + ended.stderr
    assert ended.returncode == expected, printed
    return printed


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def table(folder: Path) -> dict[str, list[float]]:
    """The history of a run, but for what clocks tell."""
    names, *rows = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    columns = dict(zip(names, np.array(rows, dtype=float).T.tolist(), strict=True))
    return {name: of for name, of in columns.items() if name not in ("seconds", "data_wait")}


def gradients(folder: Path) -> list[Any]:
    """What the optimizer has summed of the gradients of all steps."""
    (state,) = read_checkpoint(folder / "checkpoints" / "last.ckpt")["optimizer_states"]
    return [of_weight["exp_avg"] for of_weight in state["state"].values()]


def assert_same(folder: Path, expected: Path) -> None:
    ours, theirs = table(folder), table(expected)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-6, err_msg=name)
    for of_run, by_one in zip(gradients(folder), gradients(expected), strict=True):
        torch.testing.assert_close(of_run, by_one, rtol=1e-6, atol=1e-8 * float(by_one.abs().max()))


@pytest.mark.slow
def test_two_processes_train_as_one_does(arguments: Command, tmp_path: Path) -> None:
    """Gradients, losses and errors; also after a resume by another number of processes."""
    one, two, resumed = (tmp_path / name for name in ("one", "two", "resumed"))
    run([sys.executable, SCRIPT, *arguments(one)])
    printed = run([sys.executable, SCRIPT, *arguments(two, "trainer.devices=2")])
    assert "2 processes that share each batch" in printed
    assert printed.count("best: epoch") == 1
    assert_same(two, one)
    run([sys.executable, SCRIPT, *arguments(resumed, "trainer.devices=2", "trainer.max_steps=2")])
    go_on = [f"resume={resumed}", "trainer.max_steps=null"]
    assert "trainer.devices: 2 -> 1" in run([sys.executable, SCRIPT, *go_on, "trainer.devices=1"])
    assert {*os.listdir(two)} == {*os.listdir(one)} == {*os.listdir(resumed)}


@pytest.mark.slow
def test_torchrun_starts_the_processes(arguments: Command, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = f"--master-port={free.getsockname()[1]}"
    command = [*TORCHRUN, port, SCRIPT]
    one, two = tmp_path / "one", tmp_path / "two"
    run([sys.executable, SCRIPT, *arguments(one)])
    printed = run([*command, *arguments(two, "trainer.devices=2")])
    assert printed.count("best: epoch") == 1
    assert_same(two, one)


def started(command: list[str], until: Path) -> subprocess.Popen[str]:
    """A command that has written a file."""
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not until.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    return process


def children(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not listed.exists():
        pytest.skip("this system does not list the children of a process")
    return [int(number) for number in listed.read_text().split()]


@pytest.mark.slow
def test_a_signal_ends_all_processes_with_a_checkpoint(arguments: Command, tmp_path: Path) -> None:
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    endless = arguments(tmp_path / "run", "trainer.devices=2", "trainer.max_epochs=100000")
    process = started([sys.executable, SCRIPT, *endless], last)
    (follower,) = children(process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "Terminated; the state is saved" in errors
    assert "Traceback" not in errors
    assert not Path(f"/proc/{follower}").exists()
    limits = ["trainer.max_epochs=null", "trainer.max_time=1s"]
    run([sys.executable, SCRIPT, f"resume={tmp_path / 'run'}", *limits])


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_run(arguments: Command, tmp_path: Path) -> None:
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    endless = arguments(tmp_path / "run", "trainer.devices=2", "trainer.max_epochs=100000")
    process = started([sys.executable, SCRIPT, *endless], last)
    (follower,) = children(process)
    os.kill(follower, signal.SIGKILL)
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 1
    assert "error: process 2 of 2 ended with status -9" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_loss_that_diverges_is_told_once(arguments: Command, tmp_path: Path) -> None:
    wild = ["trainer.devices=2", "optimizer.lr=1e30", "scheduler=constant"]
    errors = run([sys.executable, SCRIPT, *arguments(tmp_path / "run", *wild)], expected=1)
    assert errors.count("the training has diverged") == 1
    assert "Traceback" not in errors


def test_several_nodes_need_a_launcher() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes=2: start the command on all nodes"):
        processes.environment_of(TrainerConfig(num_nodes=2))


def test_as_many_processes_as_were_started(monkeypatch: pytest.MonkeyPatch) -> None:
    of_srun = {"NTASKS": "4", "PROCID": "0", "STEP_ID": "0", "JOB_NAME": "train", "JOB_ID": "7"}
    for name, value in of_srun.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(ConfigError, match=r"are 2 processes, and 4 were started"):
        processes.environment_of(TrainerConfig(devices=2))
    assert processes.environment_of(TrainerConfig(devices=2, num_nodes=2)).world_size() == 4
    monkeypatch.delenv("SLURM_STEP_ID")
    assert processes.environment_of(TrainerConfig(devices=2)).world_size() == 1


def test_one_process_agrees_with_itself() -> None:
    assert processes.number() == 1
    assert processes.total(2, 0.5) == processes.largest(2, 0.5) == [2, 0.5]
