"""One training of a sweep: whatever comes of it is kept, and a failure does not end the sweep."""

import math
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from molnet.commands.explained import explanation
from molnet.sweeps.trials import COMPLETE, FAILED, INTERRUPTED, PRUNED, Trial
from molnet.training.arguments import given_arguments
from molnet.training.interruption import RunInterrupted
from molnet.training.objective import Judge, TrainingPruned


def in_sweep() -> bool:
    """Whether this training is one of several (``-m``)."""
    return bool(HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN)


def run_trial(config: DictConfig, training: Callable[[Judge | None], dict[str, Any]]) -> float:
    """Run a training of a sweep, and write what came out of it to the sweep's folder.

    Args:
        config: its settings.
        training: does it, as long as a judge lets it, and returns its metrics.

    Returns:
        The objective; NaN if the training has failed or was ended early.

    Raises:
        RunInterrupted: a signal, which ends the sweep.
    """
    hydra = HydraConfig.get()
    sweep = Path(hydra.sweep.dir).absolute()
    number = hydra.job.num if config.trial is None else config.trial.number
    trial = Trial(number, given_arguments(), folder=hydra.runtime.output_dir)
    try:
        trial.complete(training(None if config.trial is None else _judge(config.trial)))
    except TrainingPruned as pruned:
        trial.state, trial.epochs = PRUNED, pruned.epoch
        trial.compared(pruned.objective)
        print(f"pruned: {pruned}", flush=True)
    except Exception as error:  # noqa: BLE001 - the sweep goes on, and names the error at its end
        trial.state = FAILED
        trial.error = explanation(error) or f"{type(error).__name__}: {error}"
        if explanation(error) is None:
            traceback.print_exc()
        print(f"error: {trial.error}", file=sys.stderr, flush=True)
    except (KeyboardInterrupt, RunInterrupted):
        trial.state = INTERRUPTED
        raise
    finally:
        trial.write(sweep)
    return trial.value if trial.state == COMPLETE and trial.value is not None else math.nan


def _judge(trial: DictConfig) -> Judge:
    from molnet.sweeps.judge import StudyJudge

    hydra: Any = HydraConfig.get()
    return StudyJudge(trial, hydra)
