"""What a training shows: a line of errors for each epoch, and on a terminal a bar below."""

import logging
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.progress import SECONDS_BETWEEN_LINES, Bar, terminal
from molnet.training.budget import Budget
from molnet.training.checkpoints import Checkpoints
from molnet.training.durations import format_duration

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES_ON_A_TERMINAL = 1.0
"""So long a line can be read before the next one comes; shorter epochs are left out."""

LINES_BETWEEN_HEADERS = 20
"""So that the names of the columns are always on the screen."""

WIDTH = 80
"""Of lines that do not go to a terminal."""


class ProgressDisplay(Callback):
    """Logs the validation errors of the epochs, and shows the progress of the run.

    Where epochs are short, lines are left out: on a terminal there is at most one each second,
    elsewhere one each ten seconds. The last epoch always has one.

    Args:
        budget: knows the progress.
        checkpoints: knows the best epoch.
        bar: whether to draw a bar, if there is a terminal.
    """

    def __init__(self, budget: Budget, checkpoints: Checkpoints, bar: bool = True) -> None:
        self.budget = budget
        self.checkpoints = checkpoints
        self.wants_bar = bar
        self._bar: Bar | None = None
        self._columns: ErrorColumns | None = None
        self._width = WIDTH
        self._lines = 0
        self._line_at = -SECONDS_BETWEEN_LINES
        self._left_out: str | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the bar."""
        log.info("validation errors (mean absolute):")
        console = terminal() if self.wants_bar else None
        if console is not None:
            self._bar = Bar(console, *_bar_columns())
            self._update_bar(trainer)

    def on_train_batch_end(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """Move the bar on."""
        self._update_bar(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's errors, before the checkpoints take note of them."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._columns is None or self._width != _width():  # the window has another size
            self._width = _width()
            self._columns, self._lines = ErrorColumns.that_fit(values, self._width), 0
        is_best = values["validation/loss"] < self.checkpoints.best_loss
        line = self._columns.line(
            trainer.current_epoch + 1, self.budget.seconds, values, "best" if is_best else ""
        )
        shortest = SECONDS_BETWEEN_LINES_ON_A_TERMINAL if _is_read() else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._line_at >= shortest:
            self._write(line)
        else:
            self._left_out = line

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the last epoch, and remove the bar."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Log the last epoch, and leave a clean terminal."""
        self._close()

    def _write(self, line: str) -> None:
        if self._columns is not None and self._lines % LINES_BETWEEN_HEADERS == 0:
            log.info("%s%s", "\n" if self._lines else "", self._columns.header())
        log.info("%s", line)
        self._lines += 1
        self._line_at, self._left_out = time.monotonic(), None

    def _update_bar(self, trainer: Trainer) -> None:
        if self._bar is None:
            return
        done = self.budget.progress
        parts = [f"epoch {trainer.current_epoch + 1}"]
        if done > 0:
            parts.append(f"{format_duration(self.budget.seconds * (1 - done) / done)} left")
        if self.checkpoints.best_epoch and _width() >= WIDTH:
            parts.append(f"best: epoch {self.checkpoints.best_epoch}")
        self._bar.update(done, 1.0, ", ".join(parts))

    def _close(self) -> None:
        if self._left_out is not None:
            self._write(self._left_out)
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@dataclass(frozen=True)
class ErrorColumns:
    """The table of the epochs: which errors stand in its columns.

    Attributes:
        names: of the logged values, such as ``"validation/forces_mae (meV/Å)"``.
        titles: of their columns.
        units: of their columns.
        all_fit: whether all errors have a column.
        with_loss: whether the validation loss has a column.
    """

    names: Sequence[str]
    titles: Sequence[str]
    units: Sequence[str]
    all_fit: bool
    with_loss: bool

    @classmethod
    def that_fit(cls, values: Mapping[str, float], width: int) -> "ErrorColumns":
        """The columns for as many of the errors as fit, at least one.

        Total energies are shown per atom where forces are shown as well. The loss has a column if
        there is room for it beside all errors.

        Args:
            values: what is logged after an epoch.
            width: of the terminal.
        """
        rows = {}
        for name in values:
            quantity, is_error, unit = name.removeprefix("validation/").partition("_mae (")
            if name.startswith("validation/") and is_error:
                rows[quantity] = (name, unit.removesuffix(")"))
        totals = [name for name in rows if f"{name}_per_atom" in rows]
        hidden = totals if "forces" in rows else [f"{name}_per_atom" for name in totals]
        shown = [name for name in rows if name not in hidden]
        titles = [name.removesuffix("_per_atom").replace("_", " ") for name in shown]
        units = [rows[name][1] for name in shown]
        left, fitting = width - len(f"{'epoch':5}  {'time':6}  best"), 0
        for title, unit in zip(titles, units, strict=True):
            left -= 2 + _column_width(title, unit)
            fitting += left >= 0 or fitting == 0
        names = [rows[name][0] for name in shown]
        chosen = slice(fitting)
        return cls(
            names[chosen],
            titles[chosen],
            units[chosen],
            all_fit=fitting == len(shown),
            with_loss=left >= 2 + NUMBER,
        )

    def header(self) -> str:
        """Two lines with the names of the columns and their units."""
        titles, more = [_short(title) for title in self.titles], "" if self.all_fit else "…"
        names = self._row("epoch", "time", "loss", titles, more)
        units = self._row("", "", "", self.units, "")
        return f"{names}\n{units}"

    def line(self, epoch: int, seconds: float, values: Mapping[str, float], mark: str) -> str:
        """The line of an epoch."""
        errors = [_number(values[name]) for name in self.names]
        loss = _number(values["validation/loss"]) if self.with_loss else ""
        return self._row(str(epoch), format_duration(seconds), loss, errors, mark)

    def _row(self, epoch: str, time: str, loss: str, errors: Sequence[str], mark: str) -> str:
        widths = [_column_width(*column) for column in zip(self.titles, self.units, strict=True)]
        cells = [epoch.rjust(5), time.rjust(6)]
        cells += [cell.rjust(width) for cell, width in zip(errors, widths, strict=True)]
        cells += [loss.rjust(NUMBER)] if self.with_loss else []
        return "  ".join([*cells, mark]).rstrip()


NUMBER = 8
"""Columns for a number such as 1.23e-05."""

LONGEST_TITLE = 14


def _number(value: float) -> str:
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"
    return text if len(text) <= NUMBER else f"{value:.2e}"


def _short(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"


def _column_width(title: str, unit: str) -> int:
    return max(NUMBER, len(_short(title)), len(unit))


def _is_read() -> bool:
    """Whether the log goes to a terminal, where people watch it."""
    return sys.stdout.isatty()


def _width() -> int:
    return shutil.get_terminal_size().columns if _is_read() else WIDTH


def _bar_columns() -> "tuple[ProgressColumn, ...]":
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.table import Column

    return (
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
    )
