"""Timings as a bar chart."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarking.timing import Timing

BAR = 0.8  # of the space between two bars' centres
COLORS = ("#1b6ca8", "#b8bec4", "#8a929a", "#5d656d")


def plot(timings: Sequence[Timing], title: str, path: Path) -> None:
    """For each comparison a group of bars: time relative to the first column, with the ms beside.

    Args:
        timings: at least one, all with the same columns.
        title: small print below the chart.
        path: of the image; its suffix is the format.
    """
    columns = list(timings[0].medians)
    group = len(columns) + 1.0
    figure = Figure(figsize=(9, 1.3 + 0.27 * group * len(timings)), layout="constrained")
    axes = figure.add_subplot()
    for offset, (column, color) in enumerate(zip(columns, COLORS, strict=False)):
        places = [index * group + offset for index in range(len(timings))]
        ratios = [timing.medians[column] / timing.medians[columns[0]] for timing in timings]
        bars = axes.barh(places, ratios, BAR, label=column, color=color)
        labels = [f"{column}, {_time(timing.medians[column])}" for timing in timings]
        axes.bar_label(bars, labels, padding=4, fontsize=9)
    middle = (len(columns) - 1) / 2
    axes.set_yticks(
        [index * group + middle for index in range(len(timings))],
        [timing.name.replace(", ", "\n") for timing in timings],
    )
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"time relative to {columns[0]}")
    figure.supxlabel(title, fontsize=7, color="0.4")
    figure.savefig(path, dpi=150)


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1e3:.2f} s" if milliseconds >= 1e3 else f"{milliseconds:.3g} ms"
