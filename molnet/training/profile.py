"""Where the time of a training goes."""

import time
from collections.abc import Mapping

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.profilers import Profiler

from molnet.tables import table

DATA, TRANSFER = "waiting for data", "transfer to the device"
FORWARD, BACKWARD, OPTIMIZER = "forward and loss", "backward", "optimizer"
AVERAGES, VALIDATION, CHECKPOINTS = "averaged weights", "validation", "checkpoints"
REST = "the rest"

PARTS = (DATA, TRANSFER, FORWARD, BACKWARD, OPTIMIZER, AVERAGES, VALIDATION, CHECKPOINTS, REST)

ENDS = {
    ".train_dataloader_next": DATA,
    ".batch_to_device": TRANSFER,
    ".training_step": FORWARD,
    ".backward": BACKWARD,
    ".optimizer_step": OPTIMIZER,
    ".optimizer_zero_grad": OPTIMIZER,
}
"""How Lightning's names of the actions of each part end."""

STARTS = {"[Callback]AveragedWeights.": AVERAGES, "[Callback]Checkpoints.": CHECKPOINTS}
"""How they start."""

BATCH = "run_training_batch"


class Profile(Profiler):
    """Measures the parts of a training, whose seconds add up to the wall time.

    Lightning tells when each of its actions starts and stops. An action is part of the one that it
    lies in, unless it is known. On a GPU each action waits for the device, so that its work counts
    where it belongs; the training takes a little longer for that.

    Attributes:
        seconds: by part.
        batches: of the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.batches = 0
        self._trainer: Trainer | None = None
        self._open: list[str] = []  # the parts of the actions that go on, outermost first
        self._part = REST
        self._mark: float | None = None

    @property
    def rounded(self) -> dict[str, float]:
        """The seconds by part, to microseconds."""
        return {part: round(value, 6) for part, value in self.seconds.items()}

    def watch(self, trainer: Trainer) -> None:
        """Learn from a trainer when it validates, and on which device."""
        self._trainer = trainer

    def start(self, action_name: str) -> None:
        """The time up to now belongs to what went on; an action begins."""
        self._lap()
        self._open.append(self._part_of(action_name))
        self._go_on()

    def stop(self, action_name: str) -> None:
        """The time up to now belongs to the action, which ends."""
        self._lap()
        self._open.pop()
        self.batches += action_name == BATCH
        self._go_on()

    def _lap(self) -> None:
        if self._trainer is not None and self._trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        now = time.monotonic()
        self.seconds[self._part] += now - (now if self._mark is None else self._mark)
        self._mark = now

    def _go_on(self) -> None:
        around = self._open[-1] if self._open else REST
        validates = self._trainer is not None and self._trainer.validating
        self._part = VALIDATION if validates else around

    def _part_of(self, action: str) -> str:
        for end, part in ENDS.items():
            if action.endswith(end):
                return part
        for start, part in STARTS.items():
            if action.startswith(start):
                return part
        return self._open[-1] if self._open else REST


def profile_table(seconds: Mapping[str, float], batches: int) -> str:
    """The table that is printed.

    >>> print(profile_table({"forward and loss": 3.0, "backward": 1.0}, 1000))
    time of the training  seconds  share  ms per batch
    ──────────────────────────────────────────────────
    forward and loss          3.0    75%          3.00
    backward                  1.0    25%          1.00
    all                       4.0   100%          4.00
    """
    total = sum(seconds.values())
    rows = [
        (
            part,
            f"{value:.1f}",
            f"{value / max(total, 1e-9):.0%}",
            f"{1000 * value / max(batches, 1):.2f}",
        )
        for part, value in [*seconds.items(), ("all", total)]
    ]
    return table(("time of the training", "seconds", "share", "ms per batch"), rows)
