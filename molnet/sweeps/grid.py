"""The sweeper ``grid``: every combination of values, and their comparison."""

import sys
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import basic_sweeper

from molnet.sweeps.ranking import how_to_go_on, rank
from molnet.sweeps.trials import FAILED, FOLDER, NOT_RUN, Trial
from molnet.training.arguments import given_arguments
from molnet.training.errors import ConfigError


class TrialsFailedError(ValueError):
    """Some trainings of a sweep have failed; all others have been done."""


class Grid:
    """Hydra's own sweeper, with a comparison at the end, however the end comes.

    Args:
        settings: of Hydra's sweeper.
        context: what Hydra gives to a sweeper.
    """

    def __init__(self, settings: dict[str, Any], context: dict[str, Any]) -> None:
        # Not its subclass: Hydra may read that module again, and replace the class.
        self._sweeper = basic_sweeper.BasicSweeper(**settings)
        self._sweeper.setup(**context)

    def sweep(self, arguments: list[str]) -> Any:
        """Train with each combination of values.

        Raises:
            ConfigError: the folder holds another sweep, which is not to be continued.
            TrialsFailedError: some have failed.
        """
        config: Any = self._sweeper.config
        sweep = Path(config.hydra.sweep.dir).absolute()
        resumes = any(argument.startswith("resume=") for argument in arguments)
        if (sweep / FOLDER).is_dir() and not resumes:
            raise ConfigError(
                f"{sweep} already holds a sweep: continue it with resume=auto, or choose another "
                "folder with hydra.sweep.dir=FOLDER"
            )
        try:
            results = self._sweeper.sweep(arguments)
        except BaseException:
            if trials := self._trials(sweep):
                rank(sweep, trials)
                print(how_to_go_on(sweep, "resume=auto"), file=sys.stderr)
            raise
        trials = self._trials(sweep)
        rank(sweep, trials)
        if failed := [trial for trial in trials if trial.state == FAILED]:
            raise TrialsFailedError(f"{len(failed)} of {len(trials)} trainings have failed")
        return results

    def _trials(self, sweep: Path) -> list[Trial]:
        """What came out of the combinations, if any has begun."""
        combinations = [one for batch in self._sweeper.overrides or [] for one in batch]
        trials = [
            Trial.read(sweep, number) or Trial(number, given_arguments(arguments), NOT_RUN)
            for number, arguments in enumerate(combinations)
        ]
        return trials if any(trial.state != NOT_RUN for trial in trials) else []
