"""The harness tells apart all ends that an attempt may have."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from molnet.datasets.splits import load_split
from tests.fuzz.harness import Tally, attempt, damages


def bug() -> str:
    return {}["nothing"]


def crash() -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return ""


def endless() -> str:
    time.sleep(60)
    return ""


def test_ends_are_told_apart(tmp_path: Path) -> None:
    assert attempt(lambda: "4").kind == "value"
    clear = attempt(lambda: str(load_split(tmp_path / "none.json", 3)))
    assert (clear.kind, "No such file" in clear.text) == ("error", True)
    assert "KeyError" in attempt(bug).text
    assert attempt(crash).text == "the process ended with status -11"
    assert attempt(endless, seconds=0.1).text == "no end after 0.1 s"
    assert {attempt(bug).kind, attempt(crash).kind} == {"traceback"}


def test_a_table_counts_them() -> None:
    tally = Tally()
    for use in (lambda: "4", lambda: "5", bug):
        tally.add("numbers", "bit 3 flipped", attempt(use), "4")
    tally.add("files", "cut", attempt(lambda: str(Path("/nowhere").read_text())), "4")
    rows = [line.split() for line in tally.table().splitlines()]
    assert rows[1:] == [["numbers", "3", "0", "1", "1", "1"], ["files", "1", "1", "0", "0", "0"]]
    assert tally.wrong["numbers"][0] == "bit 3 flipped: changed: 5"
    assert "KeyError" in tally.wrong["numbers"][1]
    assert "files" not in tally.wrong


@pytest.mark.parametrize("size", [1, 100])
def test_damage_is_undone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(size))
    seen = [path.read_bytes() for _ in damages(path, np.random.default_rng(0), 5, 3)]
    assert [sum(byte.bit_count() for byte in data) for data in seen[:5]] == [1] * 5
    assert all(len(data) < size for data in seen[5:])
    assert len(seen) == 8
    assert path.read_bytes() == bytes(size)
