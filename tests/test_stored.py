"""JSON that holds a hash of its own content, and files that appear in one step."""

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from molnet.stored import (
    SEAL,
    abandoned,
    check_seal,
    partial_path,
    read_object,
    sealed,
    write_whole,
)


def test_a_seal_is_of_the_content_not_of_the_text(tmp_path: Path) -> None:
    content = {"b": (1, 2.5), "a": {"Å": None, "x": 1e-300}}
    path = tmp_path / "a.json"
    for options in ({}, {"indent": 3}, {"ensure_ascii": False}, {"sort_keys": True}):
        path.write_text(json.dumps(sealed(content), **options))
        read = read_object(path)
        check_seal(read, path.name)
        assert read["b"] == [1, 2.5]


@pytest.mark.parametrize(
    "change", [{"b": [1, 2.500001]}, {"b": [1, 2]}, {"c": 0}, {SEAL: "0" * 64}, {SEAL: None}]
)
def test_every_change_breaks_it(change: dict) -> None:
    with pytest.raises(ValueError, match=r"a\.json has changed since it was written"):
        check_seal(sealed({"b": [1, 2.5]}) | change, "a.json")


def test_content_without_a_seal_is_refused() -> None:
    with pytest.raises(ValueError, match=rf"a\.json holds no {SEAL}"):
        check_seal({"b": 1}, "a.json")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff{}", b"[" * 100_000, b"[]", b"1" * 5000])
def test_what_is_no_object_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.json (is not JSON|holds no JSON object)"):
        read_object(tmp_path / "a.json")


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _die_while_writing(path: Path) -> None:
    partial_path(path).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    context = multiprocessing.get_context("fork")
    for each in (path, other):
        process = context.Process(target=_die_while_writing, args=(each,))
        process.start()
        process.join()
    mine = partial_path(path)
    mine.write_text("of a process that is alive")
    elsewhere = tmp_path / ".a.json.another-machine.1.abc.partial"
    elsewhere.write_text("of a machine that cannot be asked")
    assert len(list(tmp_path.iterdir())) == 4
    write_whole(path, "whole")
    assert {*tmp_path.iterdir()} == {path, mine, elsewhere, *abandoned(other)}
    assert len(abandoned(other)) == 1
