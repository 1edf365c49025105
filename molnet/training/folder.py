"""The folder of a run: one run, one folder, and nothing in it changes before all is checked."""

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
"""What no other run may overwrite. All else are notes of an attempt that came to nothing."""

LEFTOVERS = (
    "checkpoints/*.partial",
    "history.partial",
    "metrics.partial",
    "split.json.*.partial",
    "*_predictions.extxyz.partial",
    ".model-*",
)
"""Half-written files of a process that was killed."""


_made: list[Path] = []


def new_folder(name: str) -> str:
    """Make a folder that was not there: ``name``, or else ``name-2``, ``name-3`` and so on.

    However many processes ask for one name at the same time, each gets a folder of its own. The
    YAML files call it as ``${new_folder:NAME}``.
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
    """Remove those folders of this process in which nothing came about."""
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
    """Within this block nobody else writes to ``folder``, which is made if need be.

    What a process that was killed left half-written is removed.

    Args:
        folder: of the run.
        without: files or folders that must not be in it; none for a run that goes on there.

    Raises:
        ConfigError: another process writes to it, or it holds the results of another run.
        OSError: it cannot be made, or nothing can be written to it.
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
            go_on = f", go on with that run (resume={folder})" if resumable else ""
            raise ConfigError(
                f"{folder} holds the results of a run already, which another one must not "
                f"overwrite: choose another folder with hydra.run.dir=FOLDER{go_on}, or remove it"
            )
        _remove_leftovers(folder)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


@contextmanager
def kept_log() -> Iterator[Callable[[Path], None]]:
    """What is logged within this block is kept until a file for it is named, then written there.

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
