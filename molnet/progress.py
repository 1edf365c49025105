"""The progress of long work: a bar on a terminal, elsewhere a line in the log from time to time."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import ProgressColumn

logger = logging.getLogger(__name__)

DELAY = 1.0
"""Seconds after which work counts as long; what is done earlier shows nothing."""

SECONDS_BETWEEN_LINES = 10.0
"""Shortest time between two lines in the log of a batch job."""

SECONDS_BETWEEN_REFRESHES = 0.1


class Progress:
    """How far some work has come; made by :func:`progress`.

    Attributes:
        description: what is being done; may change.
        done: how much is done.

    Args:
        description: what is being done.
        total: how much there is to do; None if unknown.
        unit: what is counted, such as ``"structures"``.
    """

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description = description
        self.total = total
        self.unit = unit
        self.done = 0.0
        self._bar: Bar | None = None
        self._next = time.monotonic() + DELAY
        self._started = False

    def advance(self, amount: float = 1) -> None:
        """Some more is done."""
        self.done += amount
        if self._bar is not None:
            self._bar.update(self.done, self.total, self.description)
        elif time.monotonic() > self._next:
            self._show()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _show(self) -> None:
        console = terminal()
        if console is not None:
            self._bar = Bar(console, *_columns(self.unit))
            self._bar.update(self.done, self.total, self.description)
        elif not self._started:  # the first line comes when the work has taken that long
            self._next += SECONDS_BETWEEN_LINES - DELAY
            self._started = True
        else:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            of_total = "" if self.total is None else f" of {self.total:,.0f}"
            logger.info("%s: %s%s %s", self.description, f"{self.done:,.0f}", of_total, self.unit)


@contextmanager
def progress(description: str, total: float | None, unit: str) -> Iterator[Progress]:
    """Shows the progress of the work in this block, if it takes long.

    Args:
        description: what is being done.
        total: how much there is to do; None if unknown.
        unit: what is counted, such as ``"structures"``; ``"B"`` is shown as MB or GB.
    """
    shown = Progress(description, total, unit)
    try:
        yield shown
    finally:
        shown.close()


class Bar:
    """One line at the bottom of a terminal; what is logged or printed goes above it.

    There is no thread that draws: the line is drawn by :meth:`update`, at most ten times a second.

    Args:
        console: the terminal.
        columns: of the line, see :class:`rich.progress.Progress`.
    """

    def __init__(self, console: "Console", *columns: "ProgressColumn") -> None:
        # Imported here, as it takes time that work without a bar need not spend.
        from rich.constrain import Constrain
        from rich.progress import Progress as Line

        class NarrowLine(Line):
            """A line with room behind it for the ^C that a terminal shows."""

            def get_renderables(self) -> "Iterator[RenderableType]":
                for line in super().get_renderables():
                    yield Constrain(line, console.width - 4)

        self._line = NarrowLine(
            *columns, console=console, transient=True, auto_refresh=False, expand=True
        )
        self._task = self._line.add_task("")
        self._drawn = 0.0
        self._redirected = _redirect_logging(console)
        self._line.start()

    def update(self, done: float, total: float | None, description: str) -> None:
        """Draw the line anew."""
        now = time.monotonic()
        if now - self._drawn > SECONDS_BETWEEN_REFRESHES:
            self._drawn = now
            self._line.update(self._task, completed=done, total=total, description=description)
            self._line.refresh()

    def close(self) -> None:
        """Remove the line, and leave the terminal as it was."""
        self._line.stop()
        for handler, stream in self._redirected:
            handler.setStream(stream)
        self._redirected = []


def terminal() -> "Console | None":
    """The terminal behind the standard error output; None if there is none that can draw a bar."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return None if console.is_dumb_terminal else console


class _Above:
    """A stream to a terminal whose lines stand above the bar."""

    def __init__(self, console: "Console") -> None:
        self._console = console

    def write(self, text: str) -> None:
        from rich.text import Text

        # Not wrapped, so that paths and commands can be copied.
        self._console.print(Text(text), end="", soft_wrap=True)

    def isatty(self) -> bool:
        return False  # so that another bar leaves it alone

    def flush(self) -> None:
        self._console.file.flush()


def _is_terminal(stream: Any) -> bool:
    return not getattr(stream, "closed", False) and bool(stream.isatty())


def _redirect_logging(console: "Console") -> list[tuple["logging.StreamHandler[Any]", Any]]:
    """Let the handlers that write to a terminal write above the bar; what they wrote to before."""
    redirected: list[tuple[logging.StreamHandler[Any], Any]] = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and _is_terminal(handler.stream):
            redirected.append((handler, handler.setStream(_Above(console))))
    return redirected


def _columns(unit: str) -> "tuple[ProgressColumn, ...]":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    whole = Column(no_wrap=True)
    return (
        TextColumn("{task.description}", markup=False, table_column=whole),
        BarColumn(bar_width=None),
        DownloadColumn(table_column=whole) if unit == "B" else MofNCompleteColumn(),
        TextColumn("" if unit == "B" else unit, table_column=whole),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
