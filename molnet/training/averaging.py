"""Exponential moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from molnet.graph import exact_dtype


class AveragedWeights(Callback):
    r"""Keeps an exponential moving average of the weights and validates with it.

    .. math:: \bar\theta_n = d_n \bar\theta_{n-1} + (1 - d_n)\,\theta_n, \qquad
              d_n = \min\Bigl(d, \frac{1 + n}{10 + n}\Bigr)

    The decay grows towards d, so that the random initial weights are soon forgotten. A checkpoint's
    ``state_dict`` holds the weights θ themselves, and this callback's state the average.

    The average is in float64 where the device has it: in float32 a step of (1 − d) times a small
    difference is rounded away. The bias of an energy of −7 eV per atom then stops 0.2 meV short of
    its weights, with d = 0.999.

    Args:
        decay: the decay d; None keeps no average: the weights themselves are used.
    """

    def __init__(self, decay: float | None) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"callbacks.ema_decay: expected a number from 0 to 1, got {decay}")
        self.decay = decay
        self._average: dict[str, Tensor] = {}
        self._weights: list[Tensor] = []  # cached: walking through the modules takes time
        self._updates = 0
        self._step = 0  # after which the average was updated
        self._kept: dict[str, Tensor] | None = None  # the weights, while it validates

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights, or from the average that a checkpoint held."""
        restored = self._average
        if self.decay is not None:
            self._average = {
                name: restored.get(name, weight)
                .detach()
                .to(weight.device, exact_dtype(weight.device), copy=True)
                for name, weight in pl_module.named_parameters()
            }
            self._weights = [weight.detach() for weight in pl_module.parameters()]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note of the steps that a resumed run has made; they are not known before."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Update the average with the new weights, if this batch has ended a step."""
        if self.decay is None or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._updates += 1
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        averages = list(self._average.values())
        weights = [weight.to(averages[0].dtype) for weight in self._weights]
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate with the average."""
        self._kept = self._put_in(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Continue the training with the weights themselves."""
        if self._kept is not None:
            _copy(self._kept, pl_module)
            self._kept = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the weights themselves in the module, even when a validation breaks off."""
        self.on_validation_end(trainer, pl_module)

    @contextmanager
    def applied(self, pl_module: LightningModule) -> Iterator[None]:
        """Within this block the module holds the average."""
        kept = self._put_in(pl_module)
        try:
            yield
        finally:
            _copy(kept, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of updates."""
        return {"average": self._average, "updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a saved average."""
        self._average = state_dict["average"]
        self._updates = int(state_dict["updates"])

    def _put_in(self, pl_module: LightningModule) -> dict[str, Tensor]:
        """Put the average into the module; returns the weights that it had."""
        weights = pl_module.named_parameters()
        kept = {name: w.detach().clone() for name, w in weights if name in self._average}
        _copy(self._average, pl_module)
        return kept


@torch.no_grad()
def _copy(values: Mapping[str, Tensor], pl_module: LightningModule) -> None:
    for name, weight in pl_module.named_parameters():
        if name in values:
            weight.copy_(values[name])
