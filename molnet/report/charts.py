"""Charts. Observable Plot draws them in the browser; large data are summed up here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from molnet.report.block import Block, sentences

MANY_POINTS = 2000
"""Above this number of points, a chart shows their density and the most remarkable ones."""

REMARKABLE = 100
MANY_STEPS = 2000
CELLS = 60
BINS = 50
CENTRAL = 0.99
"""The part of the values that a histogram spans."""


class Names(Protocol):
    """Texts by number, such as a list; large ones may make each when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


CHART_SCRIPTS = ("d3.min.js", "plot.umd.min.js", "charts.js")


class _Chart(Block):
    scripts: ClassVar[tuple[str, ...]] = CHART_SCRIPTS


@dataclass(frozen=True)
class Lines(_Chart):
    """Curves over a common axis.

    Args:
        x: [n] ascending.
        series: [n] for each curve, by name; NaN leaves a gap.
        x_label: of the axis, with the unit.
        y_label: likewise.
        log: the second axis is logarithmic.
    """

    kind: ClassVar[str] = "lines"

    x: ArrayLike
    series: Mapping[str, ArrayLike]
    x_label: str
    y_label: str
    log: bool = False

    def data(self) -> dict[str, Any]:
        x = np.asarray(self.x, dtype=float)
        chosen = thinned(len(x), MANY_STEPS)
        return {
            "x": x[chosen],
            "series": {
                name: np.asarray(values, dtype=float)[chosen]
                for name, values in self.series.items()
            },
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "log": self.log,
        }

    @property
    def remarks(self) -> str:
        count = np.size(self.x)
        thinner = f"{MANY_STEPS:,} of {count:,} values are drawn." if count > MANY_STEPS else ""
        return sentences(self.caption, thinner)


@dataclass(frozen=True)
class Points(_Chart):
    """Points with names, which a pointer shows. Of more than 2,000 the density is drawn.

    Args:
        x: [n].
        y: [n].
        x_label: of the axis, with the unit.
        y_label: likewise.
        names: [n], of the points.
        parity: both axes are the same, and a diagonal is drawn. Remarkable points, which have names
            among many, are those farthest from it; otherwise those with the largest y.
    """

    kind: ClassVar[str] = "points"

    x: ArrayLike
    y: ArrayLike
    x_label: str
    y_label: str
    names: Names = ()
    parity: bool = False

    def data(self) -> dict[str, Any]:
        x, y = np.asarray(self.x, dtype=float), np.asarray(self.y, dtype=float)
        finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        x, y = x[finite], y[finite]
        cells: list[Any] = []
        if len(x) > MANY_POINTS:
            cells = _cells(x, y, self.parity)
            chosen = np.argsort(-np.abs(y - x) if self.parity else -y)[:REMARKABLE]
            x, y, finite = x[chosen], y[chosen], finite[chosen]
        return {
            "x": x,
            "y": y,
            "names": [self.names[int(i)] for i in finite] if len(self.names) else [],
            "cells": cells,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "parity": self.parity,
        }

    @property
    def remarks(self) -> str:
        if np.size(self.x) <= MANY_POINTS:
            return self.caption
        which = "largest errors" if self.parity else "largest values"
        return sentences(
            self.caption,
            f"{np.size(self.x):,} points: their density is drawn (darker: more), and the "
            f"{REMARKABLE} {which} as points.",
        )


@dataclass(frozen=True)
class Histogram(_Chart):
    """The distribution of values.

    Args:
        values: [n]; those that are not finite are left out.
        x_label: of the axis, with the unit.
        y_label: what is counted.
    """

    kind: ClassVar[str] = "histogram"

    values: ArrayLike
    x_label: str
    y_label: str = "count"

    def data(self) -> dict[str, Any]:
        values = self._finite()
        low, high = self._span(values)
        counts, edges = np.histogram(values, BINS, (low, high))
        return {
            "edges": edges,
            "counts": counts,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
        }

    @property
    def remarks(self) -> str:
        values = self._finite()
        low, high = self._span(values)
        beyond = int(((values < low) | (values > high)).sum())
        largest = float(np.abs(values).max()) if len(values) else 0.0
        outside = f"{beyond:,} of {len(values):,} lie beyond, up to ±{largest:.4g}."
        return sentences(self.caption, outside if beyond else "")

    def _finite(self) -> np.ndarray:
        values = np.asarray(self.values, dtype=float).ravel()
        return values[np.isfinite(values)]

    def _span(self, values: np.ndarray) -> tuple[float, float]:
        if not len(values):
            return 0.0, 1.0
        if values.min() >= 0:
            return 0.0, float(np.quantile(values, CENTRAL)) or 1.0
        limit = float(np.quantile(np.abs(values), CENTRAL)) or 1.0
        return -limit, limit


@dataclass(frozen=True)
class Bars(_Chart):
    """One bar for each name.

    Args:
        values: by name.
        x_label: of the values, with the unit.
        counts: how many numbers each value stands for, shown by a pointer.
    """

    kind: ClassVar[str] = "bars"

    values: Mapping[str, float]
    x_label: str
    counts: Mapping[str, int] | None = None

    def data(self) -> dict[str, Any]:
        names = list(self.values)
        counts = self.counts
        return {
            "names": names,
            "values": [self.values[name] for name in names],
            "counts": None if counts is None else [counts[name] for name in names],
            "xLabel": self.x_label,
        }


def thinned(count: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` of ``count`` values, evenly spread from the first to the last.

    >>> thinned(10, 4).tolist(), thinned(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def _cells(x: np.ndarray, y: np.ndarray, parity: bool) -> list[list[float]]:
    """Squares with at least one point: x from, to, y from, to, count."""
    both = (min(x.min(), y.min()), max(x.max(), y.max()))
    spans = [both, both] if parity else [(x.min(), x.max()), (y.min(), y.max())]
    counts, across, up = np.histogram2d(x, y, CELLS, spans)
    return [
        [across[i], across[i + 1], up[j], up[j + 1], counts[i, j]]
        for i, j in np.argwhere(counts > 0)
    ]
