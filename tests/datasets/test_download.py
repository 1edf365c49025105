"""Downloads from a server on this machine: cut, resumed, refused, corrupted."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from molnet.datasets.download import ChecksumError, DownloadError, RemoteFile, download

CONTENT = bytes(range(256)) * 2000


class FlakyServer(ThreadingHTTPServer):
    """Serves one file, as badly as it is told to."""

    content = CONTENT
    cut_after: int | None = None  # bytes of a response before the connection closes
    resumable = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ranges: list[str | None] = []  # what each request asked for

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class _Handler(BaseHTTPRequestHandler):
    server: FlakyServer

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers["Range"]
        server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if not server.resumable:
            start = 0
        body = server.content[start:]
        if server.status != 200:
            self.send_response(server.status)
            body = b"<html>are you a browser?</html>"
        elif start:
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(server.content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_after])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FlakyServer]:
    with FlakyServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def closed_url() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/file"


def remote(*urls: str) -> RemoteFile:
    return RemoteFile("data.bin", urls, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_a_file_is_fetched_once(server: FlakyServer, tmp_path: Path) -> None:
    for _ in range(2):
        path = download(remote(server.url), tmp_path / "new")
        assert path.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [file.name for file in path.parent.iterdir()] == ["data.bin"]


def test_a_cut_connection_is_taken_up_where_it_broke(server: FlakyServer, tmp_path: Path) -> None:
    server.cut_after = 150_000
    assert download(remote(server.url), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=150000-", "bytes=300000-", "bytes=450000-"]


def test_a_later_call_goes_on_with_what_is_there(
    server: FlakyServer, closed_url: str, tmp_path: Path
) -> None:
    server.cut_after = 50_000
    with pytest.raises(DownloadError, match="250,000 of 512,000 bytes"):
        download(remote(server.url), tmp_path)
    with pytest.raises(DownloadError, match="250,000 of 512,000 bytes"):
        download(remote(closed_url), tmp_path)
    assert not (tmp_path / "data.bin").exists()
    server.cut_after = None
    assert download(remote(server.url), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=250000-"


def test_a_server_that_cannot_resume_is_asked_for_all(server: FlakyServer, tmp_path: Path) -> None:
    (tmp_path / "data.bin.partial").write_bytes(CONTENT[:1000])
    server.resumable = False
    assert download(remote(server.url), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [202, 404, 503])
def test_a_page_instead_of_the_file_leads_to_the_next_address(
    server: FlakyServer, tmp_path: Path, status: int
) -> None:
    with FlakyServer() as broken:
        broken.status = status
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        path = download(remote(broken.url, server.url), tmp_path)
        broken.shutdown()
    assert path.read_bytes() == CONTENT
    assert len(broken.ranges) == 1


def test_a_login_page_with_status_200_is_not_taken_for_the_file(
    server: FlakyServer, tmp_path: Path
) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(DownloadError, match="expected 512,000 bytes"):
        download(remote(server.url), tmp_path)


def test_without_network_the_error_says_what_to_do(closed_url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"refused(.|\n)*Name a file instead\."):
        download(remote(closed_url), tmp_path, remedy="Name a file instead.")


def test_another_file_of_the_same_size_is_refused_and_kept_aside(
    server: FlakyServer, tmp_path: Path
) -> None:
    wrong = CONTENT[:-1] + b"?"
    server.content = wrong
    with pytest.raises(ChecksumError) as caught:
        download(remote(server.url), tmp_path)
    for content in (CONTENT, wrong):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert (tmp_path / "data.bin.corrupt").read_bytes() == wrong
    assert not (tmp_path / "data.bin").exists()
    server.content = CONTENT
    assert download(remote(server.url), tmp_path).read_bytes() == CONTENT


def test_a_file_that_was_damaged_on_disk_is_noticed(tmp_path: Path, closed_url: str) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(ChecksumError, match="511,999 bytes"):
        download(remote(closed_url), tmp_path)
    assert not (tmp_path / "data.bin").exists()


def test_a_place_that_cannot_be_written_is_named(server: FlakyServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(OSError, match=r"taken.*MOLNET_CACHE") as caught:
        download(remote(server.url), tmp_path / "taken")
    assert not isinstance(caught.value, DownloadError)
    assert server.ranges == []
