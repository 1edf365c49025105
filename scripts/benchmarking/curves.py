"""Errors of codes against wall time: the curves, their table and their CSV file."""

import csv
import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from benchmarking.codes.code import Errors
from benchmarking.timing import aligned

MINUTES = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 240, 480, 960)
"""Times at which the table tells the errors."""


class Point(NamedTuple):
    """A validation: seconds since the command was started, and its errors."""

    seconds: float
    errors: Errors


class Curve(NamedTuple):
    """Errors of a code against wall time.

    Attributes:
        title: the code and its version.
        start_up: seconds until training began; None if it never did.
        seconds: until the command ended or was stopped.
        points: all validations.
    """

    title: str
    start_up: float | None
    seconds: float
    points: list[Point]

    @property
    def best_so_far(self) -> list[Point]:
        """For each validation the one, of those until then, with the smallest errors of forces."""
        return list(accumulate(self.points, lambda *two: min(two, key=lambda p: p.errors.forces)))

    def best(self, seconds: float) -> Point | None:
        """The validation until then with the smallest errors of forces."""
        points = [point for point in self.points if point.seconds <= seconds]
        return min(points, key=lambda point: point.errors.forces, default=None)

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        points = [[point.seconds, *point.errors] for point in self.points]
        return {**self._asdict(), "points": points}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Curve":
        """The inverse of :meth:`as_row`."""
        points = [Point(seconds, Errors(*errors)) for seconds, *errors in row["points"]]
        return cls(**{**row, "points": points})


def curve_table(curves: Sequence[Curve], minutes: float) -> str:
    """Errors after some minutes and at the end, by code, and when the first one had the others'.

    Args:
        curves: the first one is compared with each other one.
        minutes: that each code had.
    """
    rows = [["minutes", *(curve.title for curve in curves)]]
    for after in (mark for mark in MINUTES if mark < minutes):
        rows.append([f"{after:g}", *(errors_after(curve, after) for curve in curves)])
    rows.append([f"{minutes:g}", *(errors_after(curve, math.inf) for curve in curves)])
    starts = ["–" if c.start_up is None else f"{c.start_up:.0f} s" for c in curves]
    rows.append(["training began after", *starts])
    rows.append(["validations", *(str(len(curve.points)) for curve in curves)])
    head = "RMSE of forces in meV/Å | of energies in meV, of the best validation until then"
    return "\n".join([head, aligned(rows), *_overtaken(curves)])


def errors_after(curve: Curve, minutes: float) -> str:
    """The errors of the best validation until then."""
    best = curve.best(60 * minutes)
    return "–" if best is None else f"{best.errors.forces:.1f} | {best.errors.energy:.1f}"


def write_csv(curves: Sequence[Curve], path: Path) -> None:
    """One row for each validation."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["code", "seconds", "forces_rmse (meV/Å)", "energy_rmse (meV)"])
        for curve in curves:
            for point in curve.points:
                forces, energy = point.errors
                writer.writerow([curve.title, f"{point.seconds:.1f}", forces, energy])


def _overtaken(curves: Sequence[Curve]) -> list[str]:
    """When the first code had the smallest errors of each other one."""
    lines = []
    first, *others = curves
    for other in others:
        if not other.points:
            continue
        best = other.best_so_far[-1]
        as_good = (p for p in first.points if p.errors.forces <= best.errors.forces)
        reached = next(as_good, None)
        if reached is not None:
            lines.append(
                f"{other.title} reaches its {best.errors.forces:.1f} meV/Å after "
                f"{best.seconds / 60:.1f} min, {first.title} after {reached.seconds / 60:.2f} min: "
                f"{best.seconds / reached.seconds:.0f} times as fast"
            )
    return lines
