"""Checkpoints, and the saved model of the best epoch."""

import math
import shutil
import time
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.models import Model, save_model
from molnet.training import processes
from molnet.training.averaging import AveragedWeights
from molnet.training.checkpoint_file import seal
from molnet.training.interruption import Interruption


class Checkpoints(Callback):
    """Saves ``last.ckpt`` after every epoch, and ``best.ckpt`` and the model after improvements.

    Within long epochs ``last.ckpt`` is also saved every few minutes. It is saved after the
    validation and after all other callbacks, so that a resumed run continues exactly like an
    uninterrupted one.

    Args:
        folder: of the run; checkpoints go to ``checkpoints/``, the model to ``model/``.
        averaged: holds the weights that are saved as the model.
        interruption: tells whether to end the run.
        minutes: how often to save within an epoch.
    """

    def __init__(
        self,
        folder: Path,
        averaged: AveragedWeights,
        interruption: Interruption,
        minutes: float,
    ) -> None:
        self.last = folder / "checkpoints" / "last.ckpt"
        self.best = folder / "checkpoints" / "best.ckpt"
        self.model_folder = folder / "model"
        self.averaged = averaged
        self.interruption = interruption
        self.minutes = minutes
        self.best_loss = math.inf
        self.best_epoch = 0
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting the minutes, and remove half-written files of a killed run."""
        for unfinished in (self.last, self.best) if trainer.is_global_zero else ():
            unfinished.with_suffix(".partial").unlink(missing_ok=True)
        self._saved_at = time.monotonic()
        self.interruption.listen_again()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Save now and then, and when the run is to end."""
        seconds = self._agree(trainer)
        progress = trainer.fit_loop.epoch_loop.batch_progress
        if progress.is_last_batch or trainer.should_stop:
            return  # the epoch's end comes next
        if progress.current.ready % trainer.accumulate_grad_batches:
            return  # gradients that wait for those of more batches are in no checkpoint
        if self.interruption.requested:
            self._save(trainer)
            self.interruption.end()
        if seconds > 60 * self.minutes:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state, and the model if the validation loss is the lowest so far."""
        loss = float(trainer.callback_metrics["validation/loss"])
        improved = loss < self.best_loss
        if improved:
            self.best_loss, self.best_epoch = loss, trainer.current_epoch + 1
            if trainer.is_global_zero:
                with self.averaged.applied(pl_module):
                    save_model(cast(Model, pl_module.model), self.model_folder)
        self._save(trainer, improved)
        self._agree(trainer)
        if self.interruption.requested:
            self.interruption.end()

    def _agree(self, trainer: Trainer) -> float:
        """Let all processes end for what one ends for; the seconds since the last checkpoint."""
        stop, signal, seconds = processes.largest(
            trainer.should_stop, self.interruption.number, time.monotonic() - self._saved_at
        )
        trainer.should_stop, self.interruption.number = bool(stop), int(signal)
        return seconds

    def state_dict(self) -> dict[str, Any]:
        """The best validation loss and its epoch."""
        return {"best_loss": self.best_loss, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best loss so far, if its model still exists."""
        if not self.model_folder.is_dir():
            return
        self.best_loss = float(state_dict["best_loss"])
        self.best_epoch = int(state_dict["best_epoch"])

    def _save(self, trainer: Trainer, is_best: bool = False) -> None:
        """Save the state as ``last.ckpt``, and before that as ``best.ckpt`` if it is the best.

        In this order, since a run goes on from ``last.ckpt``: killed in between, it comes to the
        same best epoch again. A best checkpoint after the last one would be missing for good.
        """
        # Lightning's own temporary files fail where folders are on several disks.
        partial, copy = self.last.with_suffix(".partial"), self.best.with_suffix(".partial")
        try:
            trainer.save_checkpoint(partial)  # by the first process, while the others wait
            if not trainer.is_global_zero:
                return
            seal(partial)
            if is_best:
                shutil.copyfile(partial, copy)
                copy.replace(self.best)
            partial.replace(self.last)
        finally:
            self._saved_at = time.monotonic()
            if trainer.is_global_zero:
                partial.unlink(missing_ok=True)
                copy.unlink(missing_ok=True)
