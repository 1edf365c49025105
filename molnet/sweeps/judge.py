"""Whether a training of a study goes on: asked after every epoch, in the process that trains."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import Trial

from molnet.sweeps.study import place_of, pruner_of

log = logging.getLogger(__name__)


class StudyJudge:
    """Reports the objective of a trial to its study, whose pruner decides.

    Args:
        trial: the setting ``trial``.
        hydra: the settings of Hydra, with those of the sweeper.
    """

    def __init__(self, trial: Mapping[str, Any], hydra: DictConfig) -> None:
        sweeper: Any = OmegaConf.to_container(hydra.sweeper, resolve=True)
        place = place_of(sweeper, Path(hydra.sweep.dir).absolute())
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.load_study(
            study_name=place.name,
            storage=place.open(),
            sampler=optuna.samplers.RandomSampler(),  # it draws nothing
            pruner=pruner_of(sweeper["pruner"]),
        )
        self._trial = Trial(study, int(trial["id"]))
        self._reported = {*study.get_trials(deepcopy=False)[self._trial.number].intermediate_values}

    def ends(self, epoch: int, value: float) -> bool:
        """Report the objective after an epoch, and ask the pruner."""
        try:
            if epoch not in self._reported:  # by a worker that was killed
                self._trial.report(value, epoch)
            return self._trial.should_prune()
        except optuna.exceptions.StorageInternalError as error:
            log.warning("the study cannot be reached, and the training goes on: %s", error)
            return False
