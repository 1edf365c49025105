"""Compiled files in the cache: whole ones, each made by one process while the others wait.

A library that was cut or changed would kill the process that loads it, without a word. The size and
the SHA-256 of each compiled file therefore stand beside it and are compared before it is used.
"""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from molnet.stored import file_checksum, write_whole

PARTIAL = "partial-"

log = logging.getLogger(__name__)


def is_sound(path: Path) -> bool:
    """Whether a compiled file is there, and is the one that was made."""
    try:
        recorded = _record(path).read_text()
        size = path.stat().st_size
    except (OSError, UnicodeDecodeError):
        return False
    return recorded.startswith(f"{size} ") and recorded == _description(path)


def make(path: Path, command: Sequence[str]) -> None:
    """Run the compiler for a file that is not there or not sound; it appears in one step."""
    if is_sound(path):
        return
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=path.parent) as partial:
        made = Path(partial) / path.name
        run(*command, "-o", str(made))
        with open(made, "rb+") as file:
            os.fsync(file.fileno())
        write_whole(_record(path), _description(made))
        made.replace(path)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Within this block no other process compiles into the folder.

    The system lets go of the lock of a process that ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "compiling.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("Waiting for another process, which compiles kernels ...")
        lock.acquire()
    except NotImplementedError:  # a file system without locks: several processes may compile
        yield
        return
    try:
        for abandoned in folder.glob(f"{PARTIAL}*"):  # of a process that was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        yield
    finally:
        lock.release()


def run(*command: str) -> str:
    """What a run of the user's own compiler prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    finished = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return finished.stdout


def was_made(path: Path) -> bool:
    """Whether a compiled file is there that was recorded, sound or not."""
    return path.is_file() and _record(path).is_file()


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _description(path: Path) -> str:
    return f"{path.stat().st_size} {file_checksum(path)}\n"
