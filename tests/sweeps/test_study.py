"""Workers of one study: which trials they take, and when they have enough."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from molnet.sweeps.search import Worker
from molnet.sweeps.space import space_of
from molnet.sweeps.study import Place, counted, open_study, records, tell
from molnet.sweeps.trials import COMPLETE, Trial
from molnet.training.errors import ConfigError

SWEEPER: dict[str, Any] = {
    "sampler": {"_target_": "optuna.samplers.RandomSampler", "seed": 0},
    "pruner": None,
}
WANTED = 12

fork = multiprocessing.get_context("fork")


@pytest.fixture(params=["journal", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    file = tmp_path / "study.journal"
    storage = str(file) if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"
    return Place(storage, "study", 1)


def work(place: Place, seconds: float) -> None:
    """Trials of a worker, each of which takes some time, until there are enough."""
    study, claims = open_study(place, SWEEPER)
    worker = Worker(study, claims, space_of(["x=interval(0.0,1.0)"]), WANTED)
    while trials := worker.next(1):
        for trial in trials:
            (setting,) = worker.space.suggest(trial)
            time.sleep(seconds)
            value = float(setting.partition("=")[2])
            record = Trial(trial.number, [setting], COMPLETE, value=value, objective="x")
            tell(study, trial, record)
            claims.release(trial)
    claims.close()


def test_a_killed_workers_trial_is_taken_up_and_none_is_done_twice(place: Place) -> None:
    first, second = (fork.Process(target=work, args=(place, s)) for s in (1000.0, 0.05))
    first.start()
    study, claims = open_study(place, SWEEPER)
    while not study.get_trials(deepcopy=False):
        time.sleep(0.05)
    (trial,) = study.get_trials()
    while not trial.params:
        time.sleep(0.05)
        (trial,) = study.get_trials()
    second.start()
    while len(study.get_trials(deepcopy=False)) < 5:
        time.sleep(0.05)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    second.join(120)
    assert second.exitcode == 0
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(done) == len(counted(study)) == WANTED
    numbers = [record.number for record in records(study)]
    assert 0 in numbers  # under the number that it had
    assert len(set(numbers)) == WANTED
    assert len({trial.params["x"] for trial in done}) == WANTED
    assert trial.params["x"] in {other.params["x"] for other in done}
    claims.close()


def test_workers_together_do_not_do_more_than_is_wanted(place: Place) -> None:
    workers = [fork.Process(target=work, args=(place, 0.0)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    study, claims = open_study(place, SWEEPER)
    states = [trial.state for trial in counted(study)]
    assert states == [optuna.trial.TrialState.COMPLETE] * WANTED
    assert len({trial.params["x"] for trial in counted(study)}) == WANTED
    claims.close()


def test_a_trial_beyond_the_last_is_not_taken_up(tmp_path: Path) -> None:
    """Another worker has asked for it, and would withdraw it as soon as it holds it."""
    place = Place(str(tmp_path / "study.journal"), "study", 1)
    work(place, 0.0)
    study, claims = open_study(place, SWEEPER)
    beyond = study.ask()
    worker = Worker(study, claims, space_of(["x=interval(0.0,1.0)"]), WANTED)
    assert worker.next(1) == []
    assert len(counted(study)) == WANTED
    assert not claims.claim(beyond)  # the worker that has asked finds it ended
    claims.close()


def test_a_trial_that_was_ended_before_it_was_held_is_not_done_again(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "study.journal"), "study", 1)
    study, claims = open_study(place, SWEEPER)
    asked = study.ask()
    work(place, 0.0)  # takes up what nobody holds
    assert len(counted(study)) == WANTED
    assert not claims.claim(asked)
    claims.close()


def test_a_study_that_is_complete_has_no_next_trial(place: Place) -> None:
    work(place, 0.0)
    study, claims = open_study(place, SWEEPER)
    assert Worker(study, claims, space_of(["x=interval(0.0,1.0)"]), WANTED).next(4) == []
    more = Worker(study, claims, space_of(["x=interval(0.0,1.0)"]), WANTED + 3)
    assert [trial.number for trial in more.next(4)] == [12, 13, 14]
    claims.close()


def test_a_database_that_is_not_there_is_explained(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/no/folder/study.db", "nodatabase://x/y", "mysql://a@b/c"):
        with pytest.raises(ConfigError, match="the database cannot be opened"):
            Place(url, "study", 1).open()
