"""Charts of results: one function for each kind of result.

Each function takes at least one result, the small print below the chart, and the path of the image,
whose suffix is its format.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarking.curves import Curve
from benchmarking.knots import Fit
from benchmarking.scaling import Growth
from benchmarking.timing import Timing

BAR = 0.8  # of the space between two bars' centres
COLORS = ("#1b6ca8", "#b8bec4", "#8a929a", "#5d656d")
CODE_COLORS = ("#1b6ca8", "#58a6d6", "#c8501e", "#2e8b57", "#8a5aa8")


def plot_timings(timings: Sequence[Timing], title: str, path: Path) -> None:
    """A group of bars for each timing: time relative to the first column, labelled with the ms."""
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
    _save(figure, title, path)


def plot_growth(rows: Sequence[Growth], title: str, path: Path) -> None:
    """Time per atom (first and later evaluations) and memory per atom, by number of atoms."""
    rows = sorted(rows)
    atoms = [row.atoms for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for label, seconds, color in (
        ("first evaluation", [row.first for row in rows], COLORS[1]),
        ("later ones", [row.next for row in rows], COLORS[0]),
    ):
        per_atom = [1e6 * second / number for second, number in zip(seconds, atoms, strict=True)]
        time.plot(atoms, per_atom, "o-", label=label, color=color)
    time.set_ylabel("time per atom, µs")
    time.legend(frameon=False, loc="lower left")
    memory.plot(atoms, [row.memory / 1e3 for row in rows], "o-", color=COLORS[0])
    memory.set_ylabel("memory per atom, kB")
    for axes in (time, memory):
        axes.set_xscale("log")
        axes.set_xticks(atoms, [f"{number:,}" for number in atoms])
        axes.minorticks_off()
        axes.set_ylim(0, 1.15 * axes.dataLim.y1 or None)  # small boxes take no memory of their own
        axes.margins(x=0.1)
        axes.set_xlabel("atoms in the box")
        _bare(axes)
    _save(figure, title, path)


def plot_fits(rows: Sequence[Fit], title: str, path: Path) -> None:
    """Errors of value and slope by number of knots, beside lines of the expected order."""
    rows = sorted(rows)
    knots = [row.knots for row in rows]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, order, rms, largest in (
        (panels[0], "value", 4, [row.value_rms for row in rows], [row.value_max for row in rows]),
        (panels[1], "slope", 3, [row.slope_rms for row in rows], [row.slope_max for row in rows]),
    ):
        guide = [0.5 * rms[-1] * (row.spacing / rows[-1].spacing) ** order for row in rows]
        axes.loglog(knots, largest, "o-", label="largest", color=COLORS[1])
        axes.loglog(knots, rms, "o-", label="root mean square", color=COLORS[0])
        axes.loglog(knots, guide, ":", label="h⁴" if order == 4 else "h³", color="0.3")
        axes.set_xticks(knots, [str(number) for number in knots])
        axes.minorticks_off()
        axes.set_xlabel("knots")
        axes.set_title(name, fontsize=10)
        axes.legend(frameon=False)
        _bare(axes)
    panels[0].set_ylabel("error relative to RMS")
    _save(figure, title, path)


def plot_curves(curves: Sequence[Curve], title: str, path: Path) -> None:
    """Errors of forces and energies against wall time, as reported and of the best until then."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name, place in ((panels[0], "forces, meV/Å", 0), (panels[1], "energy, meV", 1)):
        for curve, color in zip(curves, CODE_COLORS, strict=False):
            if not curve.points:
                continue
            minutes = [point.seconds / 60 for point in curve.points]
            axes.plot(
                minutes,
                [point.errors[place] for point in curve.points],
                "-",
                color=color,
                alpha=0.3,
                linewidth=0.8,
            )
            kept = [point.errors[place] for point in curve.best_so_far]
            axes.plot(
                [*minutes, curve.seconds / 60],
                [*kept, kept[-1]],
                "-",
                color=color,
                linewidth=2,
                label=curve.title,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("wall time since the start of the command, minutes")
        axes.set_title(f"validation RMSE of {name}", fontsize=10, loc="left")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_formatter(NullFormatter())
        _bare(axes)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    _save(figure, title, path)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")


def _save(figure: Figure, title: str, path: Path) -> None:
    figure.supxlabel(title, fontsize=7, color="0.4")
    figure.savefig(path, dpi=150)


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1e3:.2f} s" if milliseconds >= 1e3 else f"{milliseconds:.3g} ms"
