"""The number by which trainings are compared: a validation error of the model that is saved."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.training import processes
from molnet.training.callbacks import History
from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.errors import ConfigError, did_you_mean

LOSS = "validation/loss"


class TrainingPruned(Exception):  # noqa: N818 - not an error
    """A training is ended early, as it promises less than others."""

    def __init__(self, objective: Mapping[str, Any], epoch: int) -> None:
        super().__init__(f"ended after epoch {epoch}: other trainings were better by then")
        self.objective = dict(objective)
        self.epoch = epoch


class Judge(Protocol):
    """Says after each epoch whether a training is worth going on with."""

    def ends(self, epoch: int, value: float) -> bool:
        """Whether to end the training.

        Args:
            epoch: how many have been trained.
            value: the objective after this epoch.
        """
        ...


class Pruning(Callback):
    """Ends a training when a judge says so. Comes after all callbacks that save.

    Args:
        judge: decides, for all processes that train together; None in those that have none.
        objective: name of what is judged.
        history: has its values.
    """

    def __init__(self, judge: Judge | None, objective: str, history: History) -> None:
        self.judge = judge
        self.objective = objective
        self.history = history

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask the judge."""
        rows = self.history.rows
        objective = objective_of(rows, len(rows), self.objective)
        ends = self.judge is not None and self.judge.ends(len(rows), objective["value"])
        if any(processes.largest(ends)):
            raise TrainingPruned(objective, len(rows))


def check_objective(name: str, errors: Iterable[str]) -> None:
    """Check that there will be a value of this name.

    Args:
        name: of the objective, such as ``validation/forces_mae``.
        errors: names of the errors that are computed, such as ``forces``.

    Raises:
        ConfigError: there will be none.
    """
    known = [LOSS, *(f"validation/{error}_mae" for error in errors)]
    if name not in known:
        raise ConfigError(f"objective={name}: {did_you_mean(name, known)}")


def objective_of(rows: Sequence[Mapping[str, float]], best_epoch: int, name: str) -> dict[str, Any]:
    """The value of the objective in the epoch whose model is saved.

    Args:
        rows: of ``history.csv``.
        best_epoch: counted from 1.
        name: of the objective, without its unit.

    Returns:
        ``name``, ``value`` and ``unit``.

    Raises:
        ConfigError: the history has no such values.
    """
    row = rows[best_epoch - 1]
    columns = {column.partition(" (")[0]: column for column in row if column.startswith("valid")}
    if name not in columns:
        raise ConfigError(f"objective={name}: {did_you_mean(name, columns)}")
    unit = re.search(r" \((.*)\)$", columns[name])
    return {"name": name, "value": row[columns[name]], "unit": unit[1] if unit else ""}


def recorded_objective(checkpoint: Any, name: str) -> dict[str, Any]:
    """The value of the objective that a finished run has reached.

    Args:
        checkpoint: the last one of the run.
        name: of the objective.
    """
    callbacks = read_checkpoint(checkpoint)["callbacks"]
    best_epoch = callbacks["Checkpoints"]["best_epoch"]
    return objective_of(callbacks["History"]["rows"], best_epoch, name)
