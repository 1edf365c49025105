"""The progress bar of a run: one bar for the whole training."""

import logging
import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from molnet.training.budget import Budget

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0
"""Shortest time between two lines of progress where there is no terminal."""


class ProgressDisplay(Callback):
    """Shows the progress of the run, the loss, and the validation errors with their units.

    On a terminal this is a bar; elsewhere (the log file of a batch job) a line from time to time.

    Args:
        budget: knows the progress.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._bar: tqdm[Any] | None = None
        self._line_at = 0.0
        self._summary = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the bar."""
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=100.0,
                initial=100.0 * self.budget.progress,
                bar_format="{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining} {desc}",
                desc="epoch 1",
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.update(100.0 * self.budget.progress - self._bar.n)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's errors."""
        self._summary = _summary(trainer)
        if self._bar is not None:
            self._bar.set_description_str(self._summary)
        elif time.monotonic() - self._line_at > SECONDS_BETWEEN_LINES:
            self._line_at = time.monotonic()
            log.info("%3.0f%%  %s", 100 * self.budget.progress, self._summary)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            self._bar.close()
        else:
            log.info("%3.0f%%  %s", 100 * self.budget.progress, self._summary)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the cursor below the bar."""
        if self._bar is not None:
            self._bar.close()


def _summary(trainer: Trainer) -> str:
    """The epoch, the training loss and the validation errors with their units."""
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    parts = [f"epoch {trainer.current_epoch + 1}", f"loss {values['train/loss']:.3g}"]
    for name, value in values.items():
        part, _, row = name.partition("/")
        quantity, _, unit = row.partition("_mae (")
        if part == "validation" and unit and not quantity.endswith("_per_atom"):
            parts.append(f"{quantity} {value:.4g} {unit.rstrip(')')}")
    return "  ".join(parts)
