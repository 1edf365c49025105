"""Whose trials are: a worker that is killed leaves its trials to the others.

A study in a journal file has a lock for each trial beside the file: the system releases the locks
of a process that ends, however it ends. A study in a database may have workers that share no files:
there a worker gives a sign of life from time to time.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from molnet.sweeps.quiet import quiet

log = logging.getLogger(__name__)


class Claims(Protocol):
    """The trials of this worker.

    Attributes:
        patience: seconds after which it is known whether another worker was killed.
    """

    patience: float

    def claim(self, trial: Trial) -> bool:
        """Take a trial; False if another worker has it or has ended it."""
        ...

    def release(self, trial: Trial) -> None:
        """The trial has ended."""
        ...

    def abandoned(self) -> Trial | None:
        """A trial of a worker that was killed, which is now this one's; None if there is none."""
        ...

    def close(self) -> None:
        """Release all trials."""
        ...


class LockedTrials:
    """Trials of a study in a journal file.

    Args:
        study: the study.
        folder: for the locks.
    """

    patience = 0.0

    def __init__(self, study: optuna.Study, folder: Path) -> None:
        self.study = study
        self.folder = folder
        self._locks: dict[int, FileLock] = {}

    def claim(self, trial: Trial) -> bool:
        return self._take(trial.number)

    def release(self, trial: Trial) -> None:
        self._unlock(trial.number)

    def abandoned(self) -> Trial | None:
        for trial in running(self.study):
            if trial.number not in self._locks and self._take(trial.number):
                return Trial(self.study, trial._trial_id)
        return None

    def close(self) -> None:
        for number in list(self._locks):
            self._unlock(number)

    def _take(self, number: int) -> bool:
        """Lock a trial, unless another worker has it, or had it and has ended it."""
        if not self._lock(number):
            return False
        if any(number == trial.number for trial in running(self.study)):
            return True
        self._unlock(number)
        return False

    def _lock(self, number: int) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{number}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._locks[number] = lock
        return True

    def _unlock(self, number: int) -> None:
        # The file stays: whoever waits for a removed one would hold a lock that nobody sees.
        self._locks.pop(number).release()


class LivingTrials:
    """Trials of a study in a database, with Optuna's heartbeat.

    Optuna fails a trial of a worker that was killed, and puts one with the same settings in the
    queue of the study, from which :meth:`optuna.Study.ask` takes it.

    Args:
        study: the study.
        storage: its database.
        interval: seconds between signs of life.
    """

    def __init__(self, study: optuna.Study, storage: RDBStorage, interval: float) -> None:
        self.study = study
        self.storage = storage
        self.interval = interval
        self.patience = 2.0 * interval + 1.0
        self._ids: set[int] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def claim(self, trial: Trial) -> bool:
        self.storage.record_heartbeat(trial._trial_id)
        self._ids.add(trial._trial_id)
        return True

    def release(self, trial: Trial) -> None:
        self._ids.discard(trial._trial_id)

    def abandoned(self) -> Trial | None:
        with quiet():
            optuna.storages.fail_stale_trials(self.study)
        return None

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _live(self) -> None:
        while not self._ended.wait(self.interval):
            for trial in list(self._ids):
                try:
                    self.storage.record_heartbeat(trial)
                except optuna.exceptions.StorageInternalError as error:
                    log.warning("no sign of life could be given: %s", error)


@contextmanager
def closed_at_the_end(claims: Claims) -> Iterator[None]:
    """After this block the trials are released."""
    try:
        yield
    finally:
        claims.close()


def running(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have not ended, of all workers."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
