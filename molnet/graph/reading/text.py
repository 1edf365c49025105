"""Text files, plain or compressed, in UTF-8, UTF-16 or Latin-1."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from molnet.graph.reading.errors import StructureFileError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""What opens a file with each suffix of compression."""

_FORTRAN = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d*|\.\d+))[dD]([+-]?\d+)(?![\w.])")

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def without_compression(path: Path) -> str:
    """The file's name without ``.gz``, ``.bz2`` or ``.xz``."""
    return path.stem if path.suffix.lower() in OPENERS else path.name


def open_bytes(path: Path) -> IO[bytes]:
    """The file's content, decompressed."""
    opened: IO[bytes] = OPENERS.get(path.suffix.lower(), open)(path, "rb")
    return opened


def open_text(path: Path) -> IO[str]:
    """The file's text: UTF-8 or UTF-16 with or without a byte-order mark; else Latin-1.

    Bytes that are not UTF-8 are decoded as Latin-1, one by one. They occur in comments; numbers and
    symbols are ASCII in both encodings.
    """
    return text_of(open_bytes(path))


def text_of(file: IO[bytes]) -> IO[str]:
    """The text of a file that is open at its beginning, see :func:`open_text`."""
    start = file.read(2)
    file.seek(0)
    encoding = "utf-16" if start in _WIDE else "utf-8-sig"
    return io.TextIOWrapper(file, encoding, errors="molnet.latin1")


def is_plain_text(path: Path) -> bool:
    """Whether any program can read the file: UTF-8 without a byte-order mark, not compressed."""
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not content.startswith(codecs.BOM_UTF8)


def read_text(path: Path) -> str:
    """All of :func:`open_text`.

    Raises:
        StructureFileError: the file is damaged, or was cut short.
    """
    with decompressing(path), open_text(path) as file:
        return file.read()


def with_plain_exponents(text: str) -> str:
    """The text with 1.0e-03 where it has 1.0D-03, as Fortran writes numbers."""
    return _FORTRAN.sub(r"\1e\2", text)


@contextmanager
def decompressing(path: Path) -> Iterator[None]:
    """Within this block, errors of decompression and decoding name the file."""
    try:
        yield
    except (EOFError, OSError, zlib.error, lzma.LZMAError, UnicodeError) as error:
        is_packed = isinstance(error, gzip.BadGzipFile) or str(error) == "Invalid data stream"
        if isinstance(error, OSError) and not is_packed:
            raise  # the operating system's own error, or one of ASE's readers
        raise StructureFileError(
            f"{path} is damaged or was cut short: {error}. Fetch or write it again."
        ) from error


def _latin1(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError) and error.encoding.startswith("utf-8"):
        return error.object[error.start : error.end].decode("latin-1"), error.end
    raise error


codecs.register_error("molnet.latin1", _latin1)
