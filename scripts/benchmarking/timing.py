"""Timing of several programs for the same work, which take turns in one process."""

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import e3nn
import torch

from molnet.kernels import backend

WARM_UP = 2


class Comparison(NamedTuple):
    """One line of the table: the same work by several programs, by column; molnet is first."""

    name: str
    runs: Mapping[str, Callable[[], object]]


class Timing(NamedTuple):
    """Median milliseconds by column."""

    name: str
    medians: dict[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        """Times of the other columns, relative to the first column."""
        first, *others = self.medians
        return {column: self.medians[column] / self.medians[first] for column in others}

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**self._asdict(), "ratios": self.ratios}


def measure(comparison: Comparison, repeats: int, turn: float) -> Timing:
    """Give all columns a turn one after the other, twice to warm up and then ``repeats`` times.

    A turn is at least one call, and as many calls as fit into ``turn`` milliseconds; its result is
    the mean. In a single short call the processor's caches would be those that the other columns
    have left, unlike in real use.
    """
    times: dict[str, list[float]] = {column: [] for column in comparison.runs}
    for repeat in range(repeats + WARM_UP):
        for column, run in comparison.runs.items():
            mean = _mean_of_turn(run, turn)
            if repeat >= WARM_UP:
                times[column].append(mean)
    return Timing(
        comparison.name, {column: statistics.median(kept) for column, kept in times.items()}
    )


def _mean_of_turn(run: Callable[[], object], turn: float) -> float:
    """Mean milliseconds of calls that take ``turn`` milliseconds together, at least one call."""
    start = time.perf_counter()
    calls = 0
    while True:
        run()
        calls += 1
        passed = 1e3 * (time.perf_counter() - start)
        if passed >= turn:
            return passed / calls


def table(timings: Sequence[Timing]) -> str:
    """The medians in ms; each column after the first has its ratio to the first beside it."""
    columns = list(timings[0].medians)
    header = ["", f"{columns[0]} ms"]
    for column in columns[1:]:
        header += [f"{column} ms", "ratio"]
    rows = [header]
    for timing in timings:
        row = [timing.name, f"{timing.medians[columns[0]]:.3f}"]
        for column in columns[1:]:
            row += [f"{timing.medians[column]:.3f}", f"{timing.ratios[column]:.2f}"]
        rows.append(row)
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def machine() -> str:
    """Versions, dtype, threads, processor and backend, on one line."""
    dtype = str(torch.get_default_dtype()).removeprefix("torch.")
    jit_mode = e3nn.get_optimization_defaults()["jit_mode"]
    return (
        f"torch {torch.__version__}, e3nn {e3nn.__version__} ({jit_mode}), "
        f"{dtype}, {torch.get_num_threads()} threads, {processor()}, {backend('cpu')}"
    )


def processor() -> str:
    """The processor's name as its maker gives it, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()
