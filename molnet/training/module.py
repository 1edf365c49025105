"""The Lightning module: a model with its loss and optimizer."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch_geometric.data import Batch

from molnet.models import Model
from molnet.models.parameters import roles
from molnet.properties import Property
from molnet.training import processes
from molnet.training.losses import Loss
from molnet.training.metrics import Errors


class TrainingDivergedError(ValueError):
    """The loss has become infinite or NaN; the message says where, the run says what to do."""


class TrainingModule(LightningModule):
    """A model, its loss and its optimizer.

    Args:
        model: the model that is trained.
        loss: of a batch's predictions.
        optimizer: makes the optimizer of groups of the model's parameters.
        config: the run's settings as plain values; kept in the checkpoints.

    Attributes:
        progress: fraction of the run that is over, on which the weights of the loss depend.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.config = config or {}
        self.progress = 0.0
        self._make_optimizer = optimizer
        properties = [term.property for term in loss.terms]
        self.training_sums = EpochSums(properties)
        self.validation_sums = EpochSums(properties)

    def configure_optimizers(self) -> Optimizer:
        """One optimizer for all parameters; the learning rate is set by a callback."""
        return self._make_optimizer(parameter_groups(self.model))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a training batch."""
        terms, counts = self._step(batch, self.training_sums, self.progress)
        loss = terms.sum()
        value = loss.item()
        number, batches = processes.number(), self.trainer.accumulate_grad_batches
        if number * batches > 1:
            # Each term is a mean over the labels of this batch in this process, and Lightning takes
            # the mean over processes and over the batches of a step.
            of_batches = counts
            if batches > 1:
                of_batches = tuple(batch.labels_of_step[t.property.name] for t in self.loss.terms)
            *of_step, value = processes.total(*of_batches, value)
            shares = [
                number * batches * count / max(of_all, 1)
                for count, of_all in zip(counts, of_step, strict=True)
            ]
            loss = (terms * terms.new_tensor(shares)).sum()
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"the loss is {value} at step {self.global_step + 1}, in epoch "
                f"{self.current_epoch + 1}"
            )
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a validation batch to the errors."""
        self._step(batch, self.validation_sums)

    def on_train_epoch_start(self) -> None:
        """Let the data module draw the epoch's order."""
        self.trainer.datamodule.start_epoch(self.current_epoch)  # type: ignore[attr-defined]

    def on_validation_epoch_end(self) -> None:
        """Log the validation errors."""
        values = self.validation_sums.take("validation")
        if not math.isfinite(values["validation/loss"]):
            raise TrainingDivergedError(
                f"the validation loss is {values['validation/loss']} after epoch "
                f"{self.current_epoch + 1}"
            )
        self.log_dict(values)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the settings with the weights, and those of the model."""
        checkpoint["config"] = self.config
        # As JSON has it: numbers of NumPy are none of the plain values that are loaded.
        checkpoint["model"] = json.loads(json.dumps(self.model.config))

    def _step(
        self, batch: Batch, sums: "EpochSums", progress: float = 1.0
    ) -> tuple[Tensor, tuple[int, ...]]:
        predictions = self.model(batch)
        terms, counts = self.loss.parts(predictions, batch, progress)
        sums.update(terms.detach(), counts, predictions, batch)
        return terms, counts


RATE = "rate"
"""Key of a group of parameters: a factor on its learning rate."""

READOUT_RATE = 0.1
"""Rate of the readouts.

An optimizer that divides by the size of gradients moves every weight by about the learning rate.
Weights of the layers are of size 1 and are divided by the root of their number where they act.
Those of readouts are of that smaller size themselves: at the same rate a step would change a
readout some ten times as much as a layer.
"""

OFFSET_RATE = 0.05
"""Rate of the bias that the energies of all atoms share, where forces are trained.

Forces do not depend on this bias. An optimizer that divides by the size of gradients would move the
bias as fast as all other weights, and the whole energy would swing around its labels.
"""


def parameter_groups(model: Model) -> list[dict[str, Any]]:
    """The parameters in groups: by their rate, and by whether they decay."""
    of = roles(model)
    groups: list[dict[str, Any]] = [
        {"params": of.maps},
        {"params": of.others, "weight_decay": 0.0},
        {"params": of.readouts, RATE: READOUT_RATE},
        {"params": of.biases, "weight_decay": 0.0, RATE: READOUT_RATE},
        {"params": of.offset, "weight_decay": 0.0, RATE: OFFSET_RATE},
    ]
    return [group for group in groups if group["params"]]


class EpochSums:
    """The mean loss and the errors over an epoch, of all processes together.

    Args:
        properties: those that are compared.
    """

    def __init__(self, properties: list[Property]) -> None:
        self.errors = Errors(properties)
        self.terms: Tensor | float = 0.0
        self.counts = np.zeros(len(properties), dtype=np.int64)

    def update(
        self,
        terms: Tensor,
        counts: tuple[int, ...],
        predictions: dict[str, Tensor],
        batch: Batch,
    ) -> None:
        """Add the terms of a batch's loss and its errors; the labels of a term count alike."""
        self.terms = self.terms + terms * terms.new_tensor(counts)
        self.counts += counts
        self.errors.update(predictions, batch)

    def take(self, part: str) -> dict[str, float]:
        """Values to log by name; start again.

        The names are ``PART/loss``, ``PART/NAME_mae (UNIT)`` and ``PART/NAME_rmse (UNIT)``.
        """
        terms = torch.as_tensor(self.terms).expand(len(self.counts)).tolist()
        sums, counts = np.split(np.array(processes.total(*terms, *self.counts)), 2)
        values = {f"{part}/loss": float((sums / np.maximum(counts, 1)).sum())}
        for name, row in self.errors.summaries().items():
            values[f"{part}/{name}_mae ({row.unit})"] = row.mae
            values[f"{part}/{name}_rmse ({row.unit})"] = row.rmse
        self.terms = 0.0
        self.counts[:] = 0
        self.errors.reset()
        return values
