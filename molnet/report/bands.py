"""Band structures, with the density of states beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from molnet.report.block import Block
from molnet.report.charts import CHART_SCRIPTS, thinned

MANY_NUMBERS = 60_000
"""Above so many numbers, points of the lines are left out."""

DENSITIES = 400


@dataclass(frozen=True)
class Bands(Block):
    """Bands along lines through the Brillouin zone.

    Args:
        bands: [q, B] for each line.
        lengths: of the lines.
        labels: of the special points in order; where the path jumps, those of both sides.
        connected: whether the next line begins where this one ends.
        levels: [n], where the density of states is known.
        density: [n].
        y_label: of the bands, with the unit.
    """

    kind: ClassVar[str] = "bands"
    scripts: ClassVar[tuple[str, ...]] = CHART_SCRIPTS

    bands: Sequence[ArrayLike]
    lengths: Sequence[float]
    labels: Sequence[str]
    connected: Sequence[bool]
    levels: ArrayLike
    density: ArrayLike
    y_label: str

    def data(self) -> dict[str, Any]:
        lines = [np.asarray(line, dtype=float) for line in self.bands]
        kept = min(1.0, MANY_NUMBERS / max(sum(line.size for line in lines), 1))
        drawn, start = [], 0.0
        for line, length in zip(lines, self.lengths, strict=True):
            chosen = thinned(len(line), max(2, int(kept * len(line))))
            x = start + float(length) * chosen / max(len(line) - 1, 1)
            drawn.append({"x": x, "bands": line[chosen].T})
            start += float(length)
        levels, density = np.asarray(self.levels, float), np.asarray(self.density, float)
        chosen = thinned(len(levels), DENSITIES)
        return {
            "lines": drawn,
            "ticks": self._ticks(),
            "levels": levels[chosen],
            "density": density[chosen],
            "yLabel": self.y_label,
        }

    def _ticks(self) -> list[tuple[float, str]]:
        """Where the special points are, and their names; two where the path jumps: ``U|K``."""
        names = iter(self.labels)
        ticks, at = [(0.0, next(names))], 0.0
        for number, length in enumerate(self.lengths):
            at += float(length)
            name = next(names)
            if not self.connected[number] and number < len(self.lengths) - 1:
                name = f"{name}|{next(names)}"
            ticks.append((at, name))
        return ticks
