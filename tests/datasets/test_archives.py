"""Archives are read to their end, or refused."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from molnet.datasets.archives import ArchiveError, read_members

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "bz2": bz2.compress,
    "gz": gzip.compress,
    "xz": lzma.compress,
}
FILES = {f"{index}.xyz": f"file {index}\n".encode() * 97 * index for index in range(1, 5)}


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in {**FILES, "other.txt": b"text"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", COMPRESS)
def test_files_come_in_order(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(COMPRESS[kind](archive()))
    assert dict(read_members(path, ".xyz")) == FILES


def test_cuts_of_the_tar_itself_are_found(tmp_path: Path) -> None:
    whole = archive()
    end = len(whole.rstrip(b"\0"))
    end += -end % tarfile.BLOCKSIZE  # where the zeros begin
    path = tmp_path / "a.tar"
    cuts = [*range(tarfile.BLOCKSIZE, end + 1, tarfile.BLOCKSIZE), *range(7, end, 997)]
    cuts += [0, end + 1, end + 512, end + 1023]
    for cut in cuts:
        for compress in COMPRESS.values():  # compressed after it was cut: a whole stream
            path.write_bytes(compress(whole[:cut]))
            with pytest.raises(ArchiveError, match=r"a\.tar is damaged or was cut short"):
                list(read_members(path, ".xyz"))
    path.write_bytes(whole[: end + 1024])
    assert dict(read_members(path, ".xyz")) == FILES


@pytest.mark.parametrize("kind", ["bz2", "gz", "xz"])
def test_cuts_of_the_compressed_stream_are_found(tmp_path: Path, kind: str) -> None:
    whole = COMPRESS[kind](archive())
    path = tmp_path / "a.tar"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArchiveError, match="damaged or was cut short"):
            list(read_members(path, ".xyz"))


def test_one_of_several_streams_is_not_all(tmp_path: Path) -> None:
    """As parallel compressors write them: each block is a whole stream."""
    whole = archive()
    blocks = [bz2.compress(whole[i : i + 1024]) for i in range(0, len(whole), 1024)]
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join(blocks))
    assert dict(read_members(path, ".xyz")) == FILES
    for count in range(1, 6):
        path.write_bytes(b"".join(blocks[:count]))
        with pytest.raises(ArchiveError, match="damaged or was cut short"):
            list(read_members(path, ".xyz"))


def test_archives_one_after_the_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(archive() + archive())
    with pytest.raises(ArchiveError, match="no member of an archive where one was expected"):
        list(read_members(path, ".xyz"))


@pytest.mark.parametrize("kind", COMPRESS)
def test_flipped_bits_of_headers_and_streams_are_found(tmp_path: Path, kind: str) -> None:
    whole = COMPRESS[kind](archive())
    path = tmp_path / "a.tar"
    places = range(100, 150) if kind == "plain" else range(12, len(whole) - 12, 7)
    for byte in places:
        data = bytearray(whole)
        data[byte] ^= 4
        path.write_bytes(data)
        try:
            found = dict(read_members(path, ".xyz"))
        except ArchiveError:
            continue
        assert found == FILES


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for data in (b"", b"text\n" * 500, bz2.compress(b"text"), b"BZh9"):
        path.write_bytes(data)
        with pytest.raises(ArchiveError):
            list(read_members(path, ".xyz"))
    with pytest.raises(FileNotFoundError):
        list(read_members(tmp_path / "none.tar", ".xyz"))
