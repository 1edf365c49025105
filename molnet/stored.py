"""How damage of what molnet stores is found: checksums of files, and JSON with a hash of its own.

Memories and disks flip bits, copies end early, and people edit files. Whatever is read again is
therefore compared with a SHA-256 that was written with it.
"""

import errno
import glob
import hashlib
import json
import os
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL = "content_sha256"
"""The key under which a sealed JSON object holds the hash of all its other keys."""


def file_checksum(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_checksum(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a hash of its content under :data:`SEAL`, for :func:`check_seal`."""
    plain = json.loads(json.dumps(content))  # tuples become lists, as they will be when read
    return plain | {SEAL: _hash_of_content(plain)}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, as it stands.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON that can be read ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object but {type(content).__name__}")
    return content


def check_seal(content: Mapping[str, Any], name: str) -> None:
    """Compare a JSON object with the hash that it holds of itself.

    Args:
        content: what :func:`sealed` returned, written and read again.
        name: of its file.

    Raises:
        ValueError: the content has changed, or there is no hash.
    """
    if SEAL not in content:
        raise ValueError(f"{name} holds no {SEAL}, the hash of its own content")
    if content[SEAL] != _hash_of_content(content):
        raise ValueError(
            f"{name} has changed since it was written: its content does not have the SHA-256 that "
            f"stands in it ({SEAL})"
        )


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file that appears in one step: whoever reads it finds the old one or the new one.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    for unfinished in abandoned(path):
        unfinished.unlink(missing_ok=True)
    partial = partial_path(path)
    try:
        write_durably(partial, data.encode() if isinstance(data, str) else data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Where to build what becomes ``path``; the name tells machine and process."""
    unique = uuid.uuid4().hex
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.{unique}.partial")


def abandoned(path: Path) -> list[Path]:
    """What dead processes of this machine have begun to build for ``path`` and left behind."""
    mine = f".{glob.escape(path.name)}.{glob.escape(platform.node())}.*.partial"
    return [
        partial
        for partial in path.parent.glob(mine)
        if not _is_alive(int(partial.name.split(".")[-3]))
    ]


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # there is no way to ask
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def synchronise(folder: Path) -> None:
    """Wait until a folder's entries are on the disk (where the system can do that)."""
    if os.name == "nt":
        return  # Windows cannot open a folder to synchronise it
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def _hash_of_content(content: Mapping[str, Any]) -> str:
    others = {key: value for key, value in content.items() if key != SEAL}
    return text_checksum(json.dumps(others, sort_keys=True))
