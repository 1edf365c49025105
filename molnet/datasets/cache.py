"""The folders of built data sets, and how a folder is made in one step: whole or not at all."""

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from molnet.cache import cache_folder
from molnet.stored import abandoned, partial_path, synchronise

ABANDONED_AFTER = 24 * 3600.0  # seconds without a write, after which a build is taken for dead


def store_folder(cache: str | Path | None, name: str, settings: Mapping[str, Any]) -> Path:
    """The folder of one built data set: its name and a hash of everything that shaped it.

    Args:
        cache: see :func:`molnet.cache.cache_folder`.
        name: what people call the data set.
        settings: JSON-able: the checksums of the source and every setting of the build. Another
            source or another setting leads to another folder, so that nothing stale is ever read.
    """
    text = json.dumps(settings, sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache_folder(cache) / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{digest}"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Within this block, operating-system errors name the folder and say what to do.

    Raises:
        OSError: the same kind of error (read-only folder, full disk, ...) with that message.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(
            error.errno or errno.EIO,
            f"cannot write the data set to {folder}: {reason}. Choose a folder with free space and "
            "write permission: set the environment variable MOLNET_CACHE or dataset.cache=FOLDER",
        ) from error


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A new temporary folder that becomes ``target`` when the block ends without an error.

    If the block fails, the temporary folder is removed: ``target`` is whole or absent. If another
    process has made ``target`` in the meantime, its folder is kept and the new one is dropped, so
    two processes may build the same data set.

    Yields:
        The temporary folder, beside ``target`` (a rename must not cross file systems).
    """
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        partial = partial_path(target)
        partial.mkdir()
    try:
        yield partial
        with writing(target.parent):
            synchronise(partial)
            try:
                partial.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            synchronise(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Removes what killed builds of the same target have left, on this machine or another one."""
    for partial in abandoned(target):
        shutil.rmtree(partial, ignore_errors=True)
    for partial in target.parent.glob(f".{target.name}.*.partial"):
        try:
            last_write = max(entry.stat().st_mtime for entry in (partial, *partial.rglob("*")))
        except FileNotFoundError:
            continue  # its process is just finishing
        if time.time() - last_write > ABANDONED_AFTER:
            shutil.rmtree(partial, ignore_errors=True)
