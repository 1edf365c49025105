"""A study of Optuna: where it is kept, who draws its trials, and which of them count."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages import RetryHeartbeatStaleTrialCallback as Retry
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from molnet.sweeps.claims import Claims, LivingTrials, LockedTrials
from molnet.sweeps.quiet import quiet
from molnet.sweeps.trials import COMPLETE, FAILED, PRUNED, RUNNING
from molnet.sweeps.trials import Trial as Record
from molnet.training.calls import check_call, made
from molnet.training.errors import ConfigError

log = logging.getLogger(__name__)

JOURNAL = "study.journal"

WITHDRAWN = "withdrawn"
"""Attribute of a trial that came after the last one: two workers had asked at once."""

TRIES = 10
"""To open a database whose tables are being made."""

STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
}


@dataclass(frozen=True)
class Place:
    """Where a study is kept.

    Attributes:
        storage: a journal file, or the URL of a database.
        name: of the study.
        heartbeat: seconds between signs of life in a database.
    """

    storage: str
    name: str
    heartbeat: int

    @property
    def is_database(self) -> bool:
        """Whether it is not a file."""
        return "://" in self.storage

    def open(self) -> BaseStorage:
        """The storage.

        Raises:
            ConfigError: it cannot be opened.
        """
        if not self.is_database:
            path = Path(self.storage)
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(path)))
        for left in reversed(range(TRIES)):
            try:
                with quiet():
                    return RDBStorage(
                        self.storage,
                        heartbeat_interval=self.heartbeat,
                        heartbeat_stale_trial_callback=Retry(inherit_intermediate_values=True),
                    )
            except (SQLAlchemyError, ImportError) as error:
                reason = str(error).splitlines()[0]
                if left and any(word in reason for word in ("UNIQUE", "unique", "exists")):
                    time.sleep(0.5)  # another worker makes the tables at the same time
                    continue
                raise ConfigError(
                    f"hydra.sweeper.storage: the database cannot be opened: {reason}. Expected a "
                    "file, or a URL such as sqlite:///study.db or "
                    "postgresql+psycopg://USER@HOST/NAME"
                ) from error
        raise AssertionError


def place_of(sweeper: Mapping[str, Any], sweep: Path) -> Place:
    """Where the study of a sweep is kept.

    Args:
        sweeper: the settings ``hydra.sweeper``.
        sweep: the folder.

    Raises:
        ConfigError: the study has no name.
    """
    storage, name = sweeper["storage"], sweeper["study_name"]
    storage = str(sweep / JOURNAL) if storage is None else str(storage)
    if "://" not in storage:
        storage = str(Path(storage).expanduser().absolute())
    elif name is None:
        raise ConfigError(
            "a database may hold several studies: name this one, hydra.sweeper.study_name=NAME"
        )
    return Place(storage, str(name or "study"), int(sweeper["heartbeat"]))


def open_study(place: Place, sweeper: Mapping[str, Any]) -> tuple[optuna.Study, Claims]:
    """A study, new or begun, and what this worker has of it.

    A seed holds for the worker that begins the study. Others would draw the same trials.

    Args:
        place: where it is kept.
        sweeper: the settings ``hydra.sweeper``.

    Raises:
        ConfigError: the sampler or the pruner cannot be made, or the database not be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with quiet():
        sampler, pruner = sampler_of(sweeper["sampler"]), pruner_of(sweeper["pruner"])
        storage = place.open()
        options: dict[str, Any] = {"storage": storage, "study_name": place.name, "pruner": pruner}
        try:
            study = optuna.create_study(sampler=sampler, **options)
        except DuplicatedStudyError:
            unseeded = {key: v for key, v in sweeper["sampler"].items() if key != "seed"}
            study = optuna.load_study(sampler=sampler_of(unseeded), **options)
    claims: Claims
    if isinstance(storage, RDBStorage):
        claims = LivingTrials(study, storage, place.heartbeat)
    else:
        claims = LockedTrials(study, Path(f"{place.storage}.locks"))
    return study, claims


def sampler_of(settings: Mapping[str, Any]) -> BaseSampler:
    """What draws the settings of the next trial."""
    return _made(settings, "hydra.sweeper.sampler", BaseSampler)


def pruner_of(settings: Mapping[str, Any] | None) -> BasePruner:
    """What decides whether a training goes on."""
    if not settings:
        return NopPruner()
    return _made(settings, "hydra.sweeper.pruner", BasePruner)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: each of them once, whichever worker has ended it."""
    trials = study.get_trials(deepcopy=False)
    with quiet():
        repeated = {number for trial in trials for number in Retry.retry_history(trial)}
    return [
        trial
        for trial in trials
        if trial.number not in repeated and WITHDRAWN not in trial.user_attrs
    ]


def number_of(trial: FrozenTrial | Trial) -> int:
    """The number of a trial; if it repeats another one, the number of that."""
    if isinstance(trial, Trial):
        trial = trial.storage.get_trial(trial._trial_id)
    with quiet():
        repeated = Retry.retried_trial_number(trial)
    return trial.number if repeated is None else repeated


def tell(study: optuna.Study, trial: Trial, record: Record) -> None:
    """Tell a study what came out of a trial."""
    for key, value in vars(record).items():
        trial.set_user_attr(key, value)
    if record.state == COMPLETE and record.value is not None:
        study.tell(trial, record.value)
    else:
        state = TrialState.PRUNED if record.state == PRUNED else TrialState.FAIL
        study.tell(trial, state=state)


def records(study: optuna.Study) -> list[Record]:
    """The trials of a study, as those of other sweeps."""
    return [_record(trial) for trial in counted(study) if trial.state in STATES]


def _record(trial: FrozenTrial) -> Record:
    known = {key: v for key, v in trial.user_attrs.items() if key in Record.__dataclass_fields__}
    chosen = [f"{key}={value}" for key, value in trial.params.items()]
    known = {"arguments": chosen} | known
    return Record(**known | {"number": number_of(trial), "state": STATES[trial.state]})


def _made(settings: Mapping[str, Any], where: str, base: type) -> Any:
    node = dict(settings)
    check_call(node, where, base)
    with quiet():
        return made(node, where)
