"""Tar archives, read in one pass to the end-of-archive marker, so that cut archives are noticed.

Python's ``tarfile`` accepts an archive that stops before or within a header, and does not check
whether a compressed stream has ended.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 16

COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"BZh": bz2.BZ2File,
    b"\x1f\x8b": gzip.GzipFile,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""First bytes and opener of each compression; every opener raises EOFError for a cut file."""


class ArchiveError(ValueError):
    """An archive was cut short, or is damaged."""


def read_members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in an archive, in order; nothing is unpacked on disk.

    Args:
        path: a tar file, as it is or compressed by bzip2, gzip or xz.
        suffix: of the names that are wanted.

    Raises:
        ArchiveError: the archive is damaged or was cut short.
        OSError: it cannot be read.
    """
    try:
        with _open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.name.endswith(suffix) else None
                if file is not None:
                    yield member.name, file.read()
            _check_end(tar)
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(f"{path} is damaged or was cut short: {error}") from error


def _open(path: Path) -> Any:
    with open(path, "rb") as file:
        start = file.read(max(map(len, COMPRESSIONS)))
    for magic, opener in COMPRESSIONS.items():
        if start.startswith(magic):
            return opener(path)
    return open(path, "rb")


def _check_end(tar: tarfile.TarFile) -> None:
    """Two blocks of zeros end an archive; ``tarfile`` has already read the first one."""
    stream: Any = tar.fileobj
    rest = 0
    while block := stream.read(CHUNK):
        if block.strip(b"\0"):
            raise tarfile.ReadError("there is no member of an archive where one was expected")
        rest += len(block)
    if rest < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("the two blocks of zeros at its end are missing")
