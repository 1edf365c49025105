"""One training of a sweep: what it was given, and what came out of it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from molnet.stored import read_object, write_whole

FOLDER = "trials"

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
INTERRUPTED, RUNNING, NOT_RUN = "interrupted", "running", "not run"


@dataclass
class Trial:
    """A training of a sweep.

    Attributes:
        number: within the sweep.
        arguments: its settings as on the command line.
        state: how it has ended, or that it has not.
        folder: of the training.
        value: of the objective.
        objective: its name.
        unit: of the value.
        epochs: how many were trained.
        best_epoch: the one whose model is saved.
        seconds: how long it took.
        error: why it failed.
    """

    number: int
    arguments: list[str] = field(default_factory=list)
    state: str = RUNNING
    folder: str = ""
    value: float | None = None
    objective: str = ""
    unit: str = ""
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    error: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings by key."""
        return {
            key.lstrip("+"): value
            for key, _, value in (argument.partition("=") for argument in self.arguments)
        }

    def complete(self, metrics: dict[str, Any]) -> None:
        """The training has ended well.

        Args:
            metrics: what it has returned.
        """
        self.state = COMPLETE
        self.epochs, self.best_epoch = metrics["epochs"], metrics["best_epoch"]
        self.seconds = sum(metrics["seconds"].values())
        self.compared(metrics["objective"])

    def compared(self, objective: dict[str, Any]) -> None:
        """Set the objective."""
        self.objective, self.value = objective["name"], objective["value"]
        self.unit = objective["unit"]

    def write(self, sweep: Path) -> None:
        """Write it to a sweep's folder, whole or not at all."""
        path = file_of(sweep, self.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @staticmethod
    def remove(sweep: Path, number: int) -> None:
        """Remove what an earlier try has left in a sweep's folder."""
        file_of(sweep, number).unlink(missing_ok=True)

    @classmethod
    def read(cls, sweep: Path, number: int) -> Self | None:
        """Read it from a sweep's folder; None if it has not ended.

        Raises:
            ValueError: the file is damaged.
        """
        path = file_of(sweep, number)
        return cls(**read_object(path)) if path.is_file() else None


def file_of(sweep: Path, number: int) -> Path:
    """Where a trial is kept."""
    return sweep / FOLDER / f"{number}.json"


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that have ended well, best first; then those ended early; then all others."""
    order = [COMPLETE, PRUNED, FAILED, INTERRUPTED, RUNNING, NOT_RUN]

    def key(trial: Trial) -> tuple[int, float, int]:
        value = trial.value if trial.state == COMPLETE and trial.value is not None else 0.0
        return order.index(trial.state), value, trial.number

    return sorted(trials, key=key)


def swept(trials: Sequence[Trial]) -> list[str]:
    """The keys of the settings in which trials differ, in the order of the command line."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    return [key for key in keys if len({trial.settings.get(key) for trial in trials}) > 1] or keys
