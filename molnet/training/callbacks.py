"""Callbacks of the training: learning rate, waiting times, the table of epochs."""

import csv
import io
import time
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.stored import write_whole
from molnet.training.budget import Budget
from molnet.training.data import DataModule
from molnet.training.module import RATE, TrainingModule
from molnet.training.schedule import Schedule


class LearningRate(Callback):
    """Sets the learning rate before every step to a factor times the optimizer's own.

    The module learns how far the run has come, too.

    Args:
        schedule: gives the factor.
        budget: knows how far the run has come.
    """

    def __init__(self, schedule: Schedule, budget: Budget) -> None:
        self.schedule = schedule
        self.budget = budget

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Set the rate of the coming step."""
        progress = cast(TrainingModule, pl_module).progress = self.budget.progress
        factor = self.schedule.factor(trainer.global_step, progress)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * optimizer.defaults["lr"] * group.get(RATE, 1.0)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the schedule see the validation loss."""
        self.schedule.observe(float(trainer.callback_metrics["validation/loss"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the rate of the epoch's last step."""
        pl_module.log("learning_rate", trainer.optimizers[0].param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """The schedule's state."""
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the schedule's state."""
        self.schedule.load_state_dict(state_dict)


class DataWait(Callback):
    """Logs which share of each epoch the training waits for its batches.

    Waiting is what :attr:`DataModule.waited` counts. Validations and the time between epochs belong
    to no epoch.
    """

    def __init__(self) -> None:
        self._waited_before = 0.0
        self._passed = 0.0
        self._mark = 0.0

    def share(self, trainer: Trainer) -> float:
        """Waiting in the present epoch, from 0 to 1."""
        return (_waited(trainer) - self._waited_before) / max(self._passed, 1e-9)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure an epoch."""
        self._waited_before = _waited(trainer)
        self._passed = 0.0
        self._mark = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure, also where a run is resumed within an epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """A batch was waited for, and a step is done."""
        now = time.monotonic()
        self._passed += now - self._mark
        self._mark = now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the time of the validation."""
        self._mark = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the share."""
        pl_module.log("data_wait", self.share(trainer))


def _waited(trainer: Trainer) -> float:
    return float(cast(DataModule, trainer.datamodule).waited)  # type: ignore[attr-defined]


class History(Callback):
    """One row for each epoch, in memory, in ``history.csv`` and in the checkpoints.

    Args:
        path: of the CSV file.
        budget: has the clock.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the training errors, add a row and write the file."""
        # Not in the module's own hook, which Lightning calls after those of the callbacks.
        pl_module.log_dict(cast(TrainingModule, pl_module).training_sums.take("train"))
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "seconds": round(self.budget.seconds, 3),
            }
            | {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        )
        if trainer.is_global_zero:
            text = io.StringIO()
            # A run of an earlier version, resumed, has rows with fewer columns.
            columns = dict.fromkeys(name for row in self.rows for name in row)
            writer = csv.DictWriter(text, fieldnames=[*columns])
            writer.writeheader()
            writer.writerows(self.rows)
            write_whole(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])
