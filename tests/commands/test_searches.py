"""Searches, ``-m hydra/sweeper=optuna``, as a user runs them."""

import getpass
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")

ROOT = Path(__file__).resolve().parents[2]
WANTED = 12

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database, whose server lives as long as the tests of this module."""
    pytest.importorskip("psycopg")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgresql")
    as_user: list[str] = []
    user = getpass.getuser()
    if os.geteuid() == 0:  # as whom the server refuses to run
        user = "nobody"
        as_user = ["setpriv", f"--reuid={user}", "--clear-groups", "--"]
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv, to start PostgreSQL for another user")
        for path in (folder, *folder.parents):
            if path.owner() == "root" and path.is_relative_to("/tmp"):  # noqa: S108
                path.chmod(path.stat().st_mode | 0o011)
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data, binary = folder / "data", binaries[-1]
    subprocess.run(
        [*as_user, binary / "initdb", "-D", data, "-U", "molnet", "-A", "trust", "-N"],
        check=True,
        capture_output=True,
    )
    options = f"-c listen_addresses='' -k {folder} -c fsync=off"
    server = [*as_user, binary / "pg_ctl", "-D", data, "-w"]
    log = folder / "data" / "log"
    subprocess.run([*server, "-l", log, "-o", options, "start"], check=True, capture_output=True)
    try:
        yield f"postgresql+psycopg://molnet@/postgres?host={folder}"
    finally:
        subprocess.run([*server, "-m", "immediate", "stop"], check=True, capture_output=True)


def search(small: list[str], *more: str) -> list[str]:
    return [
        *("-m", *small, "hydra/sweeper=optuna", "hydra.sweep.dir=sweep"),
        *("optimizer.lr=tag(log,interval(1e-3,1e-1))", *more),
    ]


def worker(folder: Path, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    log = (folder / name).open("wb")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments],
        cwd=folder,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_two_workers_of_which_one_is_killed(
    small: list[str], tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    more = [f"hydra.sweeper.n_trials={WANTED}", "hydra/sweeper/pruner=none"]
    url = None
    if storage == "postgresql":
        url = request.getfixturevalue("postgresql")
        more += [f"hydra.sweeper.storage={url}", "hydra.sweeper.study_name=water"]
        more.append("hydra.sweeper.heartbeat=5")
    arguments = search(small, *more)
    workers = [worker(tmp_path, name, arguments) for name in ("first", "second")]
    trials = tmp_path / "sweep" / "trials"
    try:
        while len(list(trials.glob("*.json"))) < 4:
            assert all(one.poll() is None for one in workers), (tmp_path / "first").read_text()
            time.sleep(0.1)
        # In the middle of a training.
        begun = "[HYDRA] \t#"
        count = (tmp_path / "first").read_text().count(begun)
        while (tmp_path / "first").read_text().count(begun) == count:
            time.sleep(0.05)
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        assert workers[1].wait() == 0, (tmp_path / "second").read_text()
    finally:
        for one in workers:
            one.kill()
    said = (tmp_path / "second").read_text()
    assert len(re.findall(r"trial \d+ goes on; its worker was killed", said)) == 1
    assert f"sweep of {WANTED} trainings:" in said
    states = [json.loads(path.read_text())["state"] for path in trials.glob("*.json")]
    assert states == ["complete"] * WANTED
    assert len(list(tmp_path.glob("sweep/*/metrics.json"))) == WANTED
    place = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "sweep" / "study.journal"))
    )
    study = optuna.load_study(
        study_name="water" if url else "study", storage=url if url is not None else place
    )
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(done) == len({trial.params["optimizer.lr"] for trial in done}) == WANTED
    assert len({trial.user_attrs["folder"] for trial in done}) == WANTED
    # Nothing is left to do.
    again = worker(tmp_path, "third", arguments)
    assert again.wait() == 0
    assert begun not in (tmp_path / "third").read_text()


def test_a_trial_that_is_worse_than_others_is_ended(run: Run, small: list[str]) -> None:
    more = ["hydra.sweeper.n_trials=2", "trainer.max_epochs=4", "optimizer.lr=choice(1e-7,1e-2)"]
    pruner = ["hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=1"]
    sampler = ["hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=0"]
    status, output, errors = run("train.py", *search(small, *more, *pruner, *sampler))
    assert status == 0, errors
    assert "sweep of 2 trainings (1 pruned):" in output
    records = [json.loads(Path(f"sweep/trials/{n}.json").read_text()) for n in range(2)]
    assert [record["state"] for record in records] == ["complete", "pruned"]
    assert records[1]["epochs"] == 1
    assert "optimizer.lr=1e-07" in records[1]["arguments"]
    assert Path("sweep/study.html").is_file()
    # Its training can be finished by hand.
    assert run("train.py", "resume=sweep/1")[0] == 0


def test_a_search_without_success_ends_early(run: Run, small: list[str]) -> None:
    given = search(small, "optimizer.lr=interval(1e30,1e31)", "hydra.sweeper.n_trials=9")
    status, output, errors = run("train.py", *given)
    assert status == 1
    assert "all 3 trainings so far have failed, the last one with: the loss is nan" in errors
    assert "sweep of 3 trainings (3 failed):" in output


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: expected 1 or more"),
        (["optimizer.lr=1e-3"], "nothing is searched: give some setting several values"),
        (["hydra.sweeper.storage=sqlite:///x.db"], "name this one, hydra.sweeper.study_name=NAME"),
        (["hydra.sweeper.sampler._target_=optuna.samplers.TPE"], "RandomSampler, TPESampler"),
        (["optimizer.lrr=1,2"], "unknown option optimizer.lrr: did you mean 'optimizer.lr'?"),
        (["hydra/sweeper=optune"], "did you mean 'optuna'?"),
    ],
)
def test_mistakes_are_explained(run: Run, small: list[str], more: list[str], answer: str) -> None:
    status, output, errors = run("train.py", *search(small, *more))
    assert status == 1
    assert answer in errors
    assert "validation errors (mean" not in output
