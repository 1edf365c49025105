"""The sweeper ``optuna``: trials that learn from those before, by any number of workers."""

import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf
from optuna.trial import Trial, TrialState

from molnet.sweeps.claims import Claims, closed_at_the_end, running
from molnet.sweeps.grid import TrialsFailedError
from molnet.sweeps.page import importances, write_page
from molnet.sweeps.quiet import quiet
from molnet.sweeps.ranking import how_to_go_on, rank
from molnet.sweeps.space import Space, space_of
from molnet.sweeps.study import (
    WITHDRAWN,
    counted,
    number_of,
    open_study,
    place_of,
    records,
    tell,
)
from molnet.sweeps.trials import FAILED, INTERRUPTED
from molnet.sweeps.trials import Trial as Record
from molnet.training.arguments import given_arguments
from molnet.training.errors import ConfigError

log = logging.getLogger(__name__)

HOPELESS = 3
"""So many failures without a single success end a search: something is wrong with all of it."""


class Search:
    """One worker of a search.

    Args:
        context: what Hydra gives to a sweeper.
    """

    def __init__(self, context: dict[str, Any]) -> None:
        self.context = context
        config = context["config"]
        self.settings: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        self.sweep_folder = Path(config.hydra.sweep.dir).absolute()
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(**context)

    def sweep(self, arguments: list[str]) -> float | None:
        """Train until the study has as many trials as are wanted.

        Returns:
            The best value; None if there is none.

        Raises:
            ConfigError: the search cannot begin.
            TrialsFailedError: trainings of this worker have failed.
        """
        settings = self.settings
        for key in ("n_trials", "n_jobs", "heartbeat"):
            if not isinstance(settings[key], int) or settings[key] < 1:
                raise ConfigError(f"hydra.sweeper.{key}={settings[key]}: expected 1 or more")
        space = space_of(arguments, settings["params"], settings["when"])
        place = place_of(settings, self.sweep_folder)
        self.sweep_folder.mkdir(parents=True, exist_ok=True)
        study, claims = open_study(place, settings)
        log.info("%s", self._described(study))
        worker = Worker(study, claims, space, settings["n_trials"])
        failed: list[Record] = []
        with closed_at_the_end(claims):
            try:
                while trials := worker.next(settings["n_jobs"]):
                    failed += self._run(worker, trials)
                    _check_hope(study, failed)
            except BaseException:
                self._compare(study)
                print(how_to_go_on(self.sweep_folder), file=sys.stderr)
                raise
        self._compare(study)
        if others := running(study):
            numbers = ", ".join(str(number_of(trial)) for trial in others)
            print(
                f"not ended yet, with other workers: trial {numbers}. If these workers were "
                f"killed: {how_to_go_on(self.sweep_folder)}"
            )
        if failed:
            raise TrialsFailedError(f"{len(failed)} trainings have failed")
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return study.best_value if complete else None

    def _run(self, worker: "Worker", trials: Sequence[Trial]) -> list[Record]:
        """Run trials, and tell the study; those that have failed."""
        jobs = [self._job(worker.space, trial) for trial in trials]
        # What cannot be composed is told before anything is trained.
        context = self.context
        for trial, job in zip(trials, jobs, strict=True):
            try:
                context["hydra_context"].config_loader.load_sweep_config(context["config"], job)
            except Exception as error:
                said = " ".join(str(error).split())
                refused = Record(number_of(trial), given_arguments(job), FAILED, error=said)
                tell(worker.study, trial, refused)
                raise
        for trial in trials:
            # What an earlier worker has left says nothing about the present one.
            Record.remove(self.sweep_folder, number_of(trial))
        self.launcher.launch(jobs, initial_job_idx=number_of(trials[0]))
        failed = []
        for trial, job in zip(trials, jobs, strict=True):
            number = number_of(trial)
            record = Record.read(self.sweep_folder, number)
            if record is None:
                said = "the training has ended without a word, as if killed"
                record = Record(number, given_arguments(job), FAILED, error=said)
            if record.value is not None and not math.isfinite(record.value):
                record.state, record.error = FAILED, f"{record.objective} is {record.value}"
            if record.state != INTERRUPTED:
                tell(worker.study, trial, record)
                worker.claims.release(trial)
            failed += [record] if record.state == FAILED else []
        return failed

    def _job(self, space: Space, trial: Trial) -> list[str]:
        """The settings of a trial's training, which goes on where an earlier worker has been."""
        try:
            settings = space.suggest(trial)
        except ValueError as error:
            raise ConfigError(
                f"the study in {self.sweep_folder} has been searched in another way: {error}. Go "
                "on with the same values, or start another study in another folder"
            ) from error
        number = number_of(trial)
        own = [f"hydra.sweep.subdir={number}", "resume=auto"]
        return [*settings, *own, f"trial={{number: {number}, id: {trial._trial_id}}}"]

    def _described(self, study: optuna.Study) -> str:
        there = len([trial for trial in counted(study) if trial.state.is_finished()])
        wanted = self.settings["n_trials"]
        return (
            f"search of {wanted} trials{f', {there} of which are there' if there else ''}. More "
            f"workers: the same command with hydra.sweep.dir={self.sweep_folder}"
        )

    def _compare(self, study: optuna.Study) -> None:
        found = records(study)
        matter = [f"{key} {share:.2f}" for key, share in importances(study).items()]
        remark = f"importance of settings (PED-ANOVA): {', '.join(matter)}" if matter else ""
        rank(self.sweep_folder, found, write_page(self.sweep_folder, study, found), remark)


class Worker:
    """Finds the next trial of a study.

    Args:
        study: the study.
        claims: on its trials.
        space: what is searched.
        wanted: how many trials the study is to have.
    """

    def __init__(self, study: optuna.Study, claims: Claims, space: Space, wanted: int) -> None:
        self.study = study
        self.claims = claims
        self.space = space
        self.wanted = wanted

    def next(self, count: int) -> list[Trial]:
        """The next trials, at most ``count``; none if there is nothing left to do."""
        deadline = time.monotonic() + self.claims.patience
        while True:
            trials: list[Trial] = []
            while len(trials) < count and (trial := self._one()) is not None:
                trials.append(trial)
            if trials or not running(self.study) or time.monotonic() >= deadline:
                return trials
            # Other workers may have been killed just now.
            time.sleep(min(1.0, self.claims.patience))

    def _one(self) -> Trial | None:
        while (trial := self._taken()) is not None:
            number = number_of(trial)
            before = [each for each in counted(self.study) if number_of(each) < number]
            if len(before) < self.wanted:
                return trial
            trial.set_user_attr(WITHDRAWN, True)
            self.study.tell(trial, state=TrialState.FAIL)
            self.claims.release(trial)
        return None

    def _taken(self) -> Trial | None:
        """A trial of a worker that was killed, or a new one; None if there are enough."""
        trial = self.claims.abandoned()
        while trial is None:
            trials = counted(self.study)
            queued = any(other.state == TrialState.WAITING for other in trials)
            if len(trials) >= self.wanted and not queued:
                return None
            with quiet():
                asked = self.study.ask()
            if not self.claims.claim(asked):
                continue  # another worker was faster
            if number_of(asked) == asked.number:
                return asked
            trial = asked
        log.info("trial %d goes on; its worker was killed", number_of(trial))
        return trial


def _check_hope(study: optuna.Study, failed: Sequence[Record]) -> None:
    ended = [trial.state for trial in counted(study) if trial.state.is_finished()]
    if len(failed) >= HOPELESS and all(state == TrialState.FAIL for state in ended):
        raise TrialsFailedError(
            f"all {len(failed)} trainings so far have failed, the last one with: {failed[-1].error}"
        )
