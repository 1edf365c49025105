"""Ctrl-C, and SIGTERM and SIGUSR1, with which batch systems announce the end of a job.

While libraries are imported, a signal ends the program at once (:func:`ends_at_once`), as an
exception would come out of the middle of a library's module. Afterwards a signal raises an
exception like KeyboardInterrupt (:func:`raised_as_exceptions`), so that half-written files are
removed. During training a signal sets a flag, and the run ends after the current step
(:class:`Interruption`).
"""

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Terminated(KeyboardInterrupt):
    """A signal of a batch system, which ends the program like Ctrl-C.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class RunInterrupted(BaseException):
    """A signal has ended the run. Like KeyboardInterrupt, this is not an error.

    Args:
        checkpoint: from which the run can be resumed; None if nothing was saved.
        number: of the signal.
    """

    def __init__(self, checkpoint: Path | None, number: int = signal.SIGINT) -> None:
        super().__init__(checkpoint, number)
        self.checkpoint = checkpoint
        self.number = number


def end_if_unread() -> None:
    """Ends the program, quietly as Unix commands do, if whoever read its output has read enough."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are told in any case
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered
        sys.exit(128 + signal.SIGPIPE)


def number_of(interruption: KeyboardInterrupt) -> int:
    """The number of the signal that raised an exception."""
    return interruption.number if isinstance(interruption, Terminated) else signal.SIGINT


def word_for(number: int) -> str:
    """The word for a signal in messages to the user."""
    return "Interrupted" if number == signal.SIGINT else "Terminated"


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Within this block a signal ends the program with one word and status 128 + its number."""
    with _handled_by(_end_at_once):
        yield


@contextmanager
def raised_as_exceptions() -> Iterator[None]:
    """Within this block signals raise KeyboardInterrupt, or its subclass :class:`Terminated`."""
    with _handled_by(_raise):
        yield


class Request:
    """A signal asks a calculation to end after its present step; a second one raises an exception.

    Attributes:
        number: of the signal; None as long as there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def heard(self) -> Iterator["Request"]:
        """Within this block signals are recorded."""
        with _handled_by(self._take_note):
            yield self

    def __call__(self) -> bool:
        """Whether the calculation is to end."""
        return self.number is not None

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            _raise(number, frame)
        self.number = number
        log.warning("\nEnding after this step; press Ctrl-C again to end at once.")


class Interruption:
    """Records a signal; the run then ends after the current step. A second signal ends it at once.

    Args:
        checkpoint: the last one of the run.

    Attributes:
        number: of the signal, also of one that another process of the run has had; 0 for none.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.number = 0
        self._noted = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within this block signals are recorded."""
        with _handled_by(self._take_note):
            yield

    def listen_again(self) -> None:
        """Record signals that Lightning would answer as well.

        It ends the program within an epoch's last batch and validation, before a checkpoint is
        saved. It sends word to other processes at once, which may be waiting for something else, so
        that the run would hang.
        """
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._take_note)

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self.number != 0

    def end(self) -> NoReturn:
        """End the run, with its checkpoint if there is one."""
        number = self.number or signal.SIGINT
        raise RunInterrupted(self.checkpoint if self.checkpoint.exists() else None, number)

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            self.end()
        self.number, self._noted = number, True
        log.warning("\nEnding after this step; press Ctrl-C again to end at once.")


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    # A shell starts background jobs with Ctrl-C ignored: keep that.
    heard = [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"\n{word_for(number)}.\n".encode())  # sys.stderr may be in the middle of a line
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
