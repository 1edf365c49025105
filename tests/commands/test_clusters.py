"""Batch systems: the script for SLURM with stand-ins for its commands, and Hydra's launcher."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train.sbatch"

IN_A_JOB = {
    "SLURM_JOB_ID": "17",
    "SLURM_JOB_NAME": "molnet",
    "SLURM_NTASKS": "1",
    "SLURM_CPUS_PER_TASK": "1",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def job(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a batch job, in which srun, scontrol and molnet are stand-ins.

    As srun's, the status is that of the step. ``pid`` names the step, ``requeued`` its requests.
    """
    executable(tmp_path / "srun", f'echo $$ > "{tmp_path}/pid"\nexport SLURM_STEP_ID=0\nexec "$@"')
    executable(tmp_path / "scontrol", f'echo "$@" >> "{tmp_path}/requeued"')
    executable(tmp_path / "molnet", f'exec "{sys.executable}" -m molnet "$@"')
    path = f"{tmp_path}:{os.environ['PATH']}"
    return os.environ | IN_A_JOB | {"PATH": path, "PYTHONPATH": str(ROOT)}


def test_the_script_is_one_of_sbatch() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)]).returncode == 0
    lines = SCRIPT.read_text().splitlines()
    first_command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    options = [n for n, line in enumerate(lines) if line.startswith("#SBATCH ")]
    assert options
    assert options[-1] < first_command, "sbatch reads no options after the first command"


@pytest.mark.slow
def test_a_job_that_reaches_its_time_limit_goes_on(
    small: list[str], tmp_path: Path, job: Mapping[str, str]
) -> None:
    """SLURM signals the step, srun hands on its status, and the job is queued again."""
    command = ["bash", str(SCRIPT), *small, "callbacks.checkpoint_minutes=0"]
    history, requeued = tmp_path / "runs" / "17" / "history.csv", tmp_path / "requeued"

    def signalled(number: int) -> int:
        seen = history.stat().st_mtime if history.exists() else 0.0
        endless = "trainer.max_epochs=100000"
        batch = subprocess.Popen([*command, endless], cwd=tmp_path, env=job)
        while not history.exists() or history.stat().st_mtime == seen:
            assert batch.poll() is None
            time.sleep(0.1)
        os.kill(int((tmp_path / "pid").read_text()), number)
        return batch.wait()

    assert signalled(signal.SIGUSR1) == 138
    assert requeued.read_text() == "requeue 17\n"
    assert signalled(signal.SIGTERM) == 143  # scancel
    assert requeued.read_text() == "requeue 17\n"
    epochs = len(history.read_text().splitlines()) - 1
    last = f"trainer.max_epochs={epochs + 2}"
    assert subprocess.run([*command, last], cwd=tmp_path, env=job).returncode == 0
    assert requeued.read_text() == "requeue 17\n"
    with history.open() as file:
        rows = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert rows == [*range(1, epochs + 3)]


@pytest.mark.slow
def test_a_sweep_through_submitit(small: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    pytest.importorskip("submitit")
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=30"]
    sweep = ["-m", *small, *launcher, "optimizer.lr=1e-2,1e30", "hydra.sweep.dir=sweep"]
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *sweep],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1, run.stderr
    assert "sweep of 2 trainings (1 failed):" in run.stdout
    assert run.stderr.endswith("error: 1 of 2 trainings have failed\n")
    with (tmp_path / "sweep" / "ranking.csv").open() as file:
        states = {row["optimizer.lr"]: row["state"] for row in csv.DictReader(file)}
    assert states == {"0.01": "complete", "1e+30": "failed"}
