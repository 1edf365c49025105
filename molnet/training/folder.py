"""The folder of a run: one run, one folder, and nothing changes there before all is checked."""

import logging
import logging.handlers
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from molnet.training.config import ConfigError

LOCK = ".lock"

RESULTS = ("metrics.json", "model/config.json", "checkpoints/last.ckpt")
"""Results, which no other run may overwrite. A folder without these may be used again."""

LEFTOVERS = (".*.partial", "checkpoints/*.partial", "*_predictions.extxyz.partial")
"""Half-written files of a process that was killed."""


_made: list[Path] = []


def new_folder(name: str) -> str:
    """Make a new folder: ``name``, or ``name-2``, ``name-3`` and so on if it exists.

    Processes that ask for the same name at the same time get different folders. The YAML files
    call this function as ``${new_folder:NAME}``.
    """
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    candidate = name
    for number in count(2):
        try:
            Path(candidate).mkdir()
        except FileExistsError:
            candidate = f"{name}-{number}"
        else:
            break
    _made.append(Path(candidate).absolute())
    return candidate


# Cached, so that the members of a sweep have the same folder.
OmegaConf.register_new_resolver("new_folder", new_folder, use_cache=True, replace=True)


def discard_empty_folders() -> None:
    """Remove the folders that this process has made and that are still empty."""
    for folder in _made:
        with suppress(OSError):  # there is something in it
            folder.rmdir()
    _made.clear()


def is_in_use(folder: Path) -> bool:
    """Whether a living process writes to a run's folder."""
    lock = folder / LOCK
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False  # its process was killed
    except (Timeout, PermissionError):
        return True


@contextmanager
def claimed(folder: Path, without: Sequence[str] = RESULTS) -> Iterator[None]:
    """Within this block no other process writes to ``folder``, which is made if it is absent.

    Half-written files of killed processes are removed.

    Args:
        folder: of the run.
        without: files or folders that must not be in it; empty for a run that is resumed there.

    Raises:
        ConfigError: another process writes to the folder, or it holds the results of a run.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"another process is writing to {folder}: wait until it has ended, or choose another "
            "folder with hydra.run.dir=FOLDER"
        ) from error
    try:
        if any((folder / name).exists() for name in without):
            resumable = (folder / "checkpoints" / "last.ckpt").is_file()
            go_on = f", continue that run (resume={folder})" if resumable else ""
            raise ConfigError(
                f"{folder} already holds the results of a run, which are not overwritten: choose "
                f"another folder with hydra.run.dir=FOLDER{go_on}, or remove it"
            )
        _remove_leftovers(folder)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


@contextmanager
def kept_log() -> Iterator[Callable[[Path], None]]:
    """Keeps all log messages of this block until a file for them is named.

    The block gets the function that names the file.
    """
    root, kept = logging.getLogger(), logging.handlers.BufferingHandler(capacity=1_000_000)
    handlers: list[logging.Handler] = [kept]
    root.addHandler(kept)

    def write_to(path: Path) -> None:
        file = logging.FileHandler(path, encoding="utf-8")
        for record in kept.buffer:
            file.handle(record)
        root.removeHandler(kept)
        root.addHandler(file)
        handlers.append(file)

    try:
        yield write_to
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _remove_leftovers(folder: Path) -> None:
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
