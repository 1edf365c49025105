"""A training by a code's own command: started, watched, stopped in time, and kept in a file."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarking.codes.code import Code, Errors, Task
from benchmarking.curves import Curve, Point

OUTPUT = "output.txt"
CURVE = "curve.json"
POLL = 0.1  # s
GRACE = 20.0  # s for a code to end after it has been asked to


class TrainingError(RuntimeError):
    """A code's training failed, or what is kept of it was made under other conditions."""


def kept_curve(folder: Path, conditions: dict[str, Any]) -> Curve | None:
    """The curve of an earlier run in this folder, if one has ended.

    Raises:
        TrainingError: it was made under other conditions.
    """
    path = folder / CURVE
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    others = [name for name, value in conditions.items() if kept["conditions"].get(name) != value]
    if others:
        changes = "; ".join(
            f"{name}: expected {conditions[name]}, it has {kept['conditions'].get(name)}"
            for name in others
        )
        raise TrainingError(
            f"{folder} holds a training under other conditions ({changes}). Give --again "
            f"{folder.name} to replace it, or another --output."
        )
    return Curve.from_row(kept["curve"])


def keep_curve(folder: Path, conditions: dict[str, Any], curve: Curve) -> None:
    """Write the curve and its conditions for :func:`kept_curve`."""
    partial = folder / f"{CURVE}.partial"
    kept = {"conditions": conditions, "curve": curve.as_row()}
    partial.write_text(json.dumps(kept, indent=1) + "\n")
    os.replace(partial, folder / CURVE)


def train(
    code: Code,
    title: str,
    command: Sequence[str],
    task: Task,
    folder: Path,
    see: Callable[[Curve], None],
) -> Curve:
    """Let a code train in a folder for the seconds of the task.

    Args:
        code: whose training it is.
        title: of the curve.
        command: with all arguments.
        task: has the seconds and the threads.
        folder: in which the command runs; its output is kept there.
        see: called with the curve so far, every tenth of a second.

    Raises:
        TrainingError: the command ended with an error before its time.
    """
    output = folder / OUTPUT
    with output.open("wb") as file:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(code, task.threads, folder),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    curve = Curve(title, None, 0.0, [])
    log = _Log(folder / code.log, code.parse)
    try:
        _pin(process.pid, task.threads)
        running = True
        while running and curve.seconds < task.seconds:
            time.sleep(POLL)
            running = process.poll() is None  # before the last look into the log
            curve = curve._replace(seconds=time.monotonic() - started)
            if curve.start_up is None and code.begins.encode() in output.read_bytes():
                curve = curve._replace(start_up=curve.seconds)
            new = log.errors()[len(curve.points) :]
            curve.points.extend(Point(curve.seconds, errors) for errors in new)
            see(curve)
    finally:
        _stop(process)
    if not running and process.returncode:
        last = output.read_text(errors="replace").strip().splitlines()[-5:]
        raise TrainingError(
            f"{title} ended with status {process.returncode} after {curve.seconds:.0f} s. The end "
            f"of {output}:\n" + "\n".join(f"    {line}" for line in last)
        )
    return curve


class _Log:
    """Reads a growing file again only when it has changed."""

    def __init__(self, path: Path, parse: Callable[[str], list[Errors]]) -> None:
        self._path = path
        self._parse = parse
        self._state: tuple[int, int] | None = None
        self._errors: list[Errors] = []

    def errors(self) -> list[Errors]:
        """All validations so far."""
        try:
            status = self._path.stat()
            if (status.st_mtime_ns, status.st_size) != self._state:
                self._errors = self._parse(self._path.read_text(errors="replace"))
                self._state = (status.st_mtime_ns, status.st_size)
        except FileNotFoundError:  # not yet there
            pass
        return self._errors


def _environment(code: Code, threads: int, folder: Path) -> dict[str, str]:
    libraries = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    counts = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
    own = {"PWD": str(folder.resolve()), "PYTHONUNBUFFERED": "1"}
    return {**inherited, **counts, **own, **code.environment}


def _pin(process: int, threads: int) -> None:
    """Keep a process, and all that it starts from now on, on so many cores."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(process, sorted(os.sched_getaffinity(0))[:threads])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
