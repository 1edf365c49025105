"""Learning-rate schedules: a factor times the optimizer's rate, as a function of progress.

*Progress* runs from 0 to 1. It is the largest used fraction of the run's limits (see
:class:`molnet.training.budget.Budget`). A run of half an hour therefore anneals within half an
hour, however many epochs fit, and a run of 100 epochs within 100 epochs.
"""

import math
from typing import Any, Protocol, runtime_checkable

START = 0.01
"""Factor at the very first step of a warm-up."""


@runtime_checkable
class Schedule(Protocol):
    """The factor on the learning rate."""

    def factor(self, step: int, progress: float) -> float:
        """Factor for the coming step, ``step`` optimizer steps and ``progress`` into the run."""
        ...

    def observe(self, validation_loss: float) -> None:
        """Called after each validation."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Plain values for :meth:`load_state_dict`."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        ...


def _warmed_up(fraction: float) -> float:
    """Linear from :data:`START` at 0 to one at 1, then one."""
    return START + (1 - START) * min(fraction, 1.0)


class _Stateless:
    def observe(self, validation_loss: float) -> None:
        """Validations have no effect."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is no state."""


class Constant(_Stateless):
    """Linear warm-up, then one.

    Args:
        warmup_steps: length of the warm-up in optimizer steps.
    """

    def __init__(self, warmup_steps: int = 0) -> None:
        self.warmup_steps = warmup_steps

    def factor(self, step: int, progress: float) -> float:
        return _warmed_up(step / self.warmup_steps) if self.warmup_steps else 1.0


class Cosine(_Stateless):
    r"""Linear warm-up, then half a cosine:
    :math:`f + (1 - f)\,\tfrac12\bigl(1 + \cos \pi t\bigr)` with t from 0 to 1.

    Args:
        warmup: length of the warm-up as a fraction of the run.
        floor: the factor f at the end.
    """

    def __init__(self, warmup: float = 0.02, floor: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"scheduler.warmup: expected a fraction from 0 to 1, got {warmup}")
        if not 0 <= floor <= 1:
            raise ValueError(f"scheduler.floor: expected a fraction from 0 to 1, got {floor}")
        self.warmup = warmup
        self.floor = floor

    def factor(self, step: int, progress: float) -> float:
        if progress < self.warmup:
            return _warmed_up(progress / self.warmup)
        t = min((progress - self.warmup) / (1 - self.warmup), 1.0)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * t))


class Plateau:
    """Linear warm-up; then times ``factor`` whenever the validation loss stops improving.

    Args:
        warmup_steps: length of the warm-up in optimizer steps.
        factor: what the rate is multiplied by.
        patience: how many validations without an improvement are tolerated.
        floor: the factor does not fall below this.
    """

    def __init__(
        self,
        warmup_steps: int = 0,
        factor: float = 0.5,
        patience: int = 10,
        floor: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"scheduler.factor: expected a number between 0 and 1, got {factor}")
        if not 0 <= floor <= 1:
            raise ValueError(f"scheduler.floor: expected a fraction from 0 to 1, got {floor}")
        self._warmup = Constant(warmup_steps)
        self._step = factor
        self.patience = patience
        self.floor = floor
        self._reached = 1.0
        self._best = math.inf
        self._waited = 0

    def factor(self, step: int, progress: float) -> float:
        return self._reached * self._warmup.factor(step, progress)

    def observe(self, validation_loss: float) -> None:
        if validation_loss < self._best:
            self._best, self._waited = validation_loss, 0
            return
        self._waited += 1
        if self._waited > self.patience:
            self._reached, self._waited = max(self._reached * self._step, self.floor), 0

    def state_dict(self) -> dict[str, Any]:
        return {"reached": self._reached, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._reached = float(state["reached"])
        self._best = float(state["best"])
        self._waited = int(state["waited"])
