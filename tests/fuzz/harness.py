"""Attempts at what may end badly, each in a process of its own, and a table of how they ended."""

import faulthandler
import multiprocessing
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from molnet.commands.explained import explanation

SECONDS = 60.0
"""After which an attempt is taken for one without an end."""

COLUMNS = ("clear errors", "unchanged", "tracebacks", "changed")


@dataclass(frozen=True)
class Result:
    """How an attempt ended.

    Attributes:
        kind: with a value; with an error that the command line tells in one line; or with a
            traceback, the death of the process, or no end.
        text: the value, the line, or what happened.
    """

    kind: Literal["value", "error", "traceback"]
    text: str


def attempt(use: Callable[[], str], seconds: float = SECONDS) -> Result:
    """Call ``use`` in a forked process, whose death or silence does no harm.

    Args:
        use: what a user does; returns all that matters of its result, e.g. a checksum.
        seconds: how long it may take.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_use, args=(use, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return Result("traceback", f"no end after {seconds:g} s")
        return Result(*receiver.recv())
    except EOFError:
        process.join()
        return Result("traceback", f"the process ended with status {process.exitcode}")
    finally:
        process.kill()
        process.join()
        process.close()


def _use(use: Callable[[], str], sender: Connection) -> None:
    faulthandler.disable()  # pytest's; how the process dies is reported anyway
    torch.set_num_threads(1)  # threads of the parent process are not there after a fork
    try:
        answer = ("value", use())
    except Exception as error:  # noqa: BLE001 - which errors there are is what is looked for
        told = explanation(error)
        clear = told is not None and "\n" not in told and "weights_only" not in told
        answer = ("error", str(told)) if clear else ("traceback", traceback.format_exc())
    sender.send(answer)


def damages(path: Path, rng: np.random.Generator, flips: int, cuts: int) -> Iterator[str]:
    """Flip single bits of a file, then cut it at random places; it is whole again afterwards.

    Yields:
        What was done to the file, while it is so.
    """
    whole = path.read_bytes()
    try:
        for byte in rng.integers(len(whole), size=flips).tolist():
            bit = int(rng.integers(8))
            path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << bit]) + whole[byte + 1 :])
            yield f"{path.name}: bit {bit} of byte {byte} flipped"
        for length in [0, *rng.integers(len(whole), size=cuts - 1).tolist()][:cuts]:
            path.write_bytes(whole[:length])
            yield f"{path.name}: cut to {length} of {len(whole)} bytes"
    finally:
        path.write_bytes(whole)


class Tally:
    """Counts how attempts ended, by kind of input."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.wrong: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, what: str, result: Result, expected: str) -> None:
        """Count one attempt.

        Args:
            kind: of input: the row of the table.
            what: was done to it.
            result: how it ended.
            expected: the value for an input that was not touched.
        """
        if result.kind == "value":
            column = "unchanged" if result.text == expected else "changed"
        else:
            column = {"error": "clear errors", "traceback": "tracebacks"}[result.kind]
        self.counts[kind][column] += 1
        if column in ("tracebacks", "changed"):
            self.wrong[kind].append(f"{what}: {column}: {result.text}")

    def table(self) -> str:
        """All kinds, with the number of attempts and of each end."""
        width = max(map(len, self.counts), default=0)
        lines = [f"{'kind':<{width}}  {'tried':>7}" + "".join(f"{c:>14}" for c in COLUMNS)]
        for kind, counts in self.counts.items():
            numbers = "".join(f"{counts[column]:>14,}" for column in COLUMNS)
            lines.append(f"{kind:<{width}}  {counts.total():>7,}{numbers}")
        return "\n".join(lines)
