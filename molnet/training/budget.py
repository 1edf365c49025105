"""The limits of a run, and its progress."""

import math
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.training import processes


class Budget(Callback):
    """Ends training at the first of three limits, and tells the progress of the run.

    The clock counts training and validation, not the preparation before. A resumed run continues
    its clock, so that the limits hold for the whole run.

    Args:
        max_epochs: passes over the training set.
        max_steps: optimizer steps.
        max_seconds: wall time.
    """

    def __init__(
        self,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self._steps_per_epoch = 0
        self._steps = 0
        self._elapsed = 0.0  # until the clock was last started
        self._started: float | None = None
        self._of_all = 0.0  # at the last step, the most among all processes

    @property
    def seconds(self) -> float:
        """Seconds that training has taken."""
        running = 0.0 if self._started is None else time.monotonic() - self._started
        return self._elapsed + running

    @property
    def progress(self) -> float:
        """Used fraction of the run, from 0 to 1: the largest over the limits."""
        used = 0.0
        if self.max_steps is not None:
            used = max(used, self._steps / self.max_steps)
        if self.max_epochs is not None:
            used = max(used, self._steps / (self.max_epochs * self._steps_per_epoch))
        if self.max_seconds is not None:
            used = max(used, self._planned / self.max_seconds)
        return min(used, 1.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run may have nothing left to do."""
        self._started = time.monotonic()
        self._steps = trainer.global_step
        batches = int(trainer.num_training_batches)
        self._steps_per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
        self._look_at_clock()
        trainer.should_stop |= self._used_up

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Stop when a limit is reached; Lightning then validates and ends the epoch."""
        if trainer.global_step == self._steps:
            return  # gradients that wait for those of more batches would be lost
        self._steps = trainer.global_step
        self._look_at_clock()
        trainer.should_stop |= self._used_up

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._elapsed, self._started = self.seconds, None

    def state_dict(self) -> dict[str, Any]:
        """The time that has passed."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the time that has passed."""
        self._elapsed = float(state_dict["seconds"])

    @property
    def _used_up(self) -> bool:
        steps = self.max_steps is not None and self._steps >= self.max_steps
        return steps or (self.max_seconds is not None and self._planned >= self.max_seconds)

    def _look_at_clock(self) -> None:
        if self.max_seconds is not None:
            (self._of_all,) = processes.largest(self.seconds)

    @property
    def _planned(self) -> float:
        """The seconds by which processes decide: the same in all of them."""
        return self.seconds if processes.number() == 1 else self._of_all
