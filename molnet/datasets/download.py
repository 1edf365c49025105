"""Downloads of published files: resumed after an interruption, and checked before use."""

import http.client
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from molnet import __version__
from molnet.datasets.cache import writing
from molnet.progress import progress
from molnet.stored import file_checksum

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
ROUNDS = 5  # how often all addresses are tried while the download still makes progress


class DownloadError(OSError):
    """A file could not be fetched from any of its addresses."""


class ChecksumError(ValueError):
    """A downloaded file is not the published one."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Args:
        name: what it is called on disk.
        urls: where it can be had, in order of preference.
        size: bytes.
        sha256: checksum in hexadecimal.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str


def download(file: RemoteFile, folder: str | Path, remedy: str = "") -> Path:
    """The path of the file in ``folder``, downloaded if it is not there yet.

    The bytes go to ``NAME.partial``; after an interruption a later call resumes there. The file is
    renamed once its size and checksum are right.

    Args:
        file: the published file.
        folder: for the download; made if absent.
        remedy: what to do if there is no connection; the last sentence of the error message.

    Raises:
        DownloadError: no address gave the file; the message says why for each of them.
        ChecksumError: the file that came has another size or checksum. It is kept as
            ``NAME.corrupt``.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    target, partial = folder / file.name, folder / f"{file.name}.partial"
    if target.is_file():
        _check(file, target)
        return target
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        partial.touch()
    failures: dict[str, str] = {}
    for _ in range(ROUNDS):
        size_before = partial.stat().st_size
        for url in file.urls:
            if partial.stat().st_size >= file.size:
                break
            try:
                _fetch(url, file, partial)
            except _ConnectionLostError as error:
                failures[url] = str(error)
        if partial.stat().st_size in (size_before, file.size):
            break
    if partial.stat().st_size < file.size:
        tried = "".join(f"\n  {url}: {reason}" for url, reason in failures.items())
        raise DownloadError(
            f"{file.name} could not be downloaded ({partial.stat().st_size:,} of {file.size:,} "
            f"bytes are there):{tried}\n{remedy}"
        )
    _check(file, partial)
    with writing(folder):
        os.replace(partial, target)
    return target


class _ConnectionLostError(Exception):
    """There is no connection, it broke, or the server sent something else than the file."""


@contextmanager
def _talking() -> Iterator[None]:
    """Tells errors of the network from those of the disk: both are operating-system errors."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLostError(str(error) or type(error).__name__) from error


def _fetch(url: str, file: RemoteFile, partial: Path) -> None:
    """Appends to ``partial`` what one address gives of the rest of the file."""
    start = partial.stat().st_size
    headers = {"User-Agent": f"molnet/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (our own addresses)
    with _talking():
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    with response:
        start = _first_byte(response, file, start)
        with writing(partial.parent):
            output = open(partial, "ab" if start else "wb")  # noqa: SIM115
        with output, progress(f"downloading {file.name}", file.size, "B") as shown:
            shown.advance(start)
            while True:
                with _talking():
                    chunk = response.read1(CHUNK)
                if not chunk:
                    break
                with writing(partial.parent):
                    output.write(chunk)
                shown.advance(len(chunk))
    received = partial.stat().st_size
    if received < file.size:
        raise _ConnectionLostError(
            f"the connection ended after {received:,} of {file.size:,} bytes"
        )


def _first_byte(response: http.client.HTTPResponse, file: RemoteFile, wanted: int) -> int:
    """Where in the file the response starts: at the wanted byte, or at the beginning."""
    if response.status == 206:
        unit_and_range, _, total = response.headers.get("Content-Range", "").partition("/")
        starts_at = wanted if unit_and_range.startswith(f"bytes {wanted}-") else None
    elif response.status == 200:
        total, starts_at = response.headers.get("Content-Length", ""), 0
    else:  # 202, for one, is a page that wants to see a browser
        raise _ConnectionLostError(f"expected the file, got HTTP status {response.status}")
    if starts_at is None or total not in (str(file.size), "*", ""):
        raise _ConnectionLostError(
            f"expected {file.size:,} bytes, or the rest of them from byte {wanted:,} on, got "
            f"{dict(response.headers)}"
        )
    return starts_at


def _check(file: RemoteFile, path: Path) -> None:
    size, checksum = path.stat().st_size, file_checksum(path)
    if (size, checksum) == (file.size, file.sha256):
        return
    corrupt = path.with_name(f"{file.name}.corrupt")
    with writing(path.parent):
        os.replace(path, corrupt)
    raise ChecksumError(
        f"{file.name} is not the published file: expected {file.size:,} bytes with SHA-256 "
        f"{file.sha256}, got {size:,} bytes with SHA-256 {checksum}. It was kept as {corrupt}. "
        "Try again: it is then downloaded anew."
    )
