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
from omegaconf import DictConfig

from molnet.training import processes
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import TrainerConfig
from molnet.training.errors import ConfigError
from molnet.training.objective import TrainingPruned
from molnet.training.run import train

from .conftest import TINY_NETWORK

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "scripts" / "train.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]

Command = Callable[..., list[str]]


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def by_one(arguments: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run by a single process."""
    folder = tmp_path_factory.mktemp("by_one") / "run"
    run([sys.executable, SCRIPT, *arguments(folder)])
    return folder


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
        np.testing.assert_allclose(ours[name], values, rtol=1e-7, err_msg=name)
    for of_run, by_one in zip(gradients(folder), gradients(expected), strict=True):
        torch.testing.assert_close(
            of_run, by_one, rtol=1e-9, atol=1e-11 * float(by_one.abs().max())
        )


@pytest.mark.slow
def test_two_processes_train_as_one_does(arguments: Command, by_one: Path, tmp_path: Path) -> None:
    """Gradients, losses and errors; also after a resume by another number of processes."""
    two, resumed = tmp_path / "two", tmp_path / "resumed"
    printed = run([sys.executable, SCRIPT, *arguments(two, "trainer.devices=2")])
    assert "processes   2, which share each batch of 4 structures" in printed
    assert printed.count("best: epoch") == 1
    assert_same(two, by_one)
    run([sys.executable, SCRIPT, *arguments(resumed, "trainer.devices=2", "trainer.max_steps=2")])
    go_on = [f"resume={resumed}", "trainer.max_steps=null"]
    assert "trainer.devices: 2 -> 1" in run([sys.executable, SCRIPT, *go_on, "trainer.devices=1"])
    assert {*os.listdir(two)} == {*os.listdir(by_one)} == {*os.listdir(resumed)}


@pytest.mark.slow
def test_two_processes_accumulate_gradients(arguments: Command, tmp_path: Path) -> None:
    """Batches of 5, 5, 5 and 1 structures in steps of three, by one process and by two."""
    folders = tmp_path / "one", tmp_path / "two"
    for devices, folder in enumerate(folders, 1):
        more = "trainer.accumulate=3", f"trainer.devices={devices}"
        run([sys.executable, SCRIPT, *arguments(folder, *more)])
    one, two = folders
    assert table(two)["step"] == [2, 4]
    assert_same(two, one)


@pytest.mark.slow
def test_steps_of_several_batches(arguments: Command, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, devices in (one, 1), (two, 2):
        more = ["trainer.accumulate=2", f"trainer.devices={devices}"]
        run([sys.executable, SCRIPT, *arguments(folder, *more)])
    assert_same(two, one)


@pytest.mark.slow
def test_torchrun_starts_the_processes(arguments: Command, by_one: Path, tmp_path: Path) -> None:
    command = [*TORCHRUN, f"--master-port={free_port()}", SCRIPT]
    two = tmp_path / "two"
    printed = run([*command, *arguments(two, "trainer.devices=2")])
    assert printed.count("best: epoch") == 1
    assert_same(two, by_one)


@pytest.mark.slow
def test_srun_starts_the_processes_of_two_nodes(
    arguments: Command, by_one: Path, tmp_path: Path
) -> None:
    """With the variables that srun sets; both nodes are this machine."""
    two, port = tmp_path / "two", free_port()
    first, second = [
        begun([sys.executable, SCRIPT, *arguments(two, "trainer.num_nodes=2")], of_srun(node, port))
        for node in range(2)
    ]
    printed, errors = first.communicate(timeout=1800)
    assert first.returncode == 0, errors
    assert printed.count("best: epoch") == 1
    assert second.communicate(timeout=60) == ("", "")
    assert second.returncode == 0
    assert_same(two, by_one)


@pytest.mark.slow
def test_nodes_learn_that_the_first_one_has_made_a_mistake(
    arguments: Command, tmp_path: Path
) -> None:
    port, mistake = free_port(), arguments(tmp_path / "run", "trainer.devices=2")
    second, first = [
        begun([sys.executable, SCRIPT, *mistake, "trainer.nodes=2"], of_srun(node, port))
        for node in (1, 0)
    ]
    assert "error: unknown option trainer.nodes" in first.communicate(timeout=600)[1]
    expected = "error: the first process has not begun to train: see what it says\n"
    assert second.communicate(timeout=600)[1] == expected


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def of_srun(node: int, port: int) -> dict[str, str]:
    """The variables of a process on one of two nodes."""
    job = {"JOB_ID": "7", "JOB_NAME": "train", "STEP_ID": "0", "NNODES": "2", "NTASKS": "2"}
    place = {"NTASKS_PER_NODE": "1", "NODEID": str(node), "PROCID": str(node), "LOCALID": "0"}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {f"SLURM_{name}": value for name, value in (job | place).items()} | address


def begun(command: list[str], variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env=environment() | (variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def started(command: list[str], until: Path) -> subprocess.Popen[str]:
    """A command that has written a file."""
    process = begun(command)
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


def endless(arguments: Command, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A training by two processes that has saved its state, and the number of the second."""
    given = arguments(folder, "trainer.devices=2", "trainer.max_epochs=100000")
    process = started([sys.executable, SCRIPT, *given], folder / "checkpoints" / "last.ckpt")
    (follower,) = children(process)
    return process, follower


@pytest.mark.slow
def test_a_signal_ends_all_processes_with_a_checkpoint(arguments: Command, tmp_path: Path) -> None:
    process, follower = endless(arguments, tmp_path / "run")
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
    process, follower = endless(arguments, tmp_path / "run")
    os.kill(follower, signal.SIGKILL)
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 1
    assert "error: process 2 of 2 was killed by SIGKILL" in errors
    assert f"continue with resume={tmp_path / 'run'}" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_no_process_outlives_the_first(arguments: Command, tmp_path: Path) -> None:
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    endless = arguments(tmp_path / "run", "trainer.devices=2", "trainer.max_epochs=100000")
    process = started([sys.executable, SCRIPT, *endless], last)
    process.kill()
    _, errors = process.communicate(timeout=1800)  # which all of them have to close
    assert process.returncode == -signal.SIGKILL
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_judge_ends_all_processes(settings: Callable[..., DictConfig]) -> None:
    class Hasty:
        def ends(self, epoch: int, value: float) -> bool:
            return epoch == 2

    with pytest.raises(TrainingPruned) as pruned:
        train(settings("trainer.devices=2", "trainer.max_epochs=5"), judge=Hasty())
    assert pruned.value.epoch == 2
    assert processes.number() == 1
    assert not {"LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"} & os.environ.keys()


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
    for name, value in of_srun(0, 29500).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"are 4 processes, and 2 were started"):
        processes.environment_of(TrainerConfig(devices=2, num_nodes=2))
    assert processes.environment_of(TrainerConfig(num_nodes=2)).world_size() == 2
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(ConfigError, match="give --ntasks-per-node=NUMBER"):
        processes.environment_of(TrainerConfig(devices=4))
    monkeypatch.delenv("SLURM_STEP_ID")
    assert processes.environment_of(TrainerConfig(devices=2)).world_size() == 1


def test_one_process_agrees_with_itself() -> None:
    assert processes.number() == 1
    assert processes.total(2, 0.5) == processes.largest(2, 0.5) == [2, 0.5]
