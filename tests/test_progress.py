"""Bars on a terminal, lines in a log, and nothing for what is done at once."""

import io
import logging
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from molnet.progress import Bar, progress, terminal


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("molnet.progress.time", clock)
    return clock


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 80 columns that keeps what is written to it."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr("molnet.progress.terminal", lambda: console)
    return console


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_short_work_shows_nothing(clock: Clock, console: Console) -> None:
    with progress("reading", 10, "frames") as shown:
        for _ in range(10):
            clock.now += 0.05
            shown.advance()
    assert written(console) == ""


def test_long_work_shows_a_bar_that_goes_away(clock: Clock, console: Console) -> None:
    with progress("reading [a].xyz", 1000, "frames") as shown:
        for _ in range(5):
            clock.now += 1.0
            shown.advance(100)
    text = written(console)
    assert "reading [a].xyz" in text
    assert "500/1000 frames" in text
    assert text.endswith("\x1b[1A\x1b[2K"), "the line is erased"
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"


def test_a_bar_goes_away_after_ctrl_c(clock: Clock, console: Console) -> None:
    def interrupted() -> None:
        with progress("reading", 1000, "frames") as shown:
            clock.now += 5.0
            shown.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written(console).endswith("\x1b[1A\x1b[2K")


def test_a_line_leaves_room_for_the_echo_of_ctrl_c(clock: Clock, console: Console) -> None:
    with progress("reading", 1000, "frames") as shown:
        clock.now += 5.0
        shown.advance()
        line = written(console).split("\x1b[2K")[-1].rstrip("\n")
        assert 60 < len(line) <= 76


def test_log_lines_stand_above_the_bar_and_are_not_wrapped(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = SimpleNamespace(isatty=lambda: True, flush=lambda: None, write=lambda text: None)
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    bar = Bar(console, "bar")
    logging.getLogger("molnet").warning("look [at] %s", 30 * "long " + "/path")
    assert f"look [at] {30 * 'long '}/path\n" in written(console)
    bar.close()
    assert handler.stream is stream


def test_without_a_terminal_there_is_a_line_from_time_to_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("molnet.progress.terminal", lambda: None)
    caplog.set_level(logging.INFO)
    with progress("reading", 1000, "frames") as shown:
        for _ in range(100):
            clock.now += 0.25
            shown.advance(10)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["reading: 410 of 1,000 frames", "reading: 820 of 1,000 frames"]


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_draw_gets_no_bar(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", _a_terminal())
    monkeypatch.setenv("TERM", kind)
    assert terminal() is None
    monkeypatch.setenv("TERM", "xterm")
    assert terminal() is not None


def test_a_file_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert terminal() is None


@pytest.mark.parametrize("variable", ["NO_COLOR", None])
def test_colours_can_be_switched_off(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _a_terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    found = terminal()
    assert found is not None
    assert found.no_color is (variable is not None)


def _a_terminal() -> io.StringIO:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    return stream
