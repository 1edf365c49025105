"""Plots of a run: learning curves, and predictions against references."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from molnet.properties import Property
from molnet.training.metrics import ErrorSummary

MANY_POINTS = 4000
"""Above this number of points, a plot shows their density."""

CENTRAL = 0.99
"""The part of the errors that a histogram spans."""


def plot_learning_curves(rows: list[dict[str, float]], path: Path) -> None:
    """Loss, errors and learning rate over the epochs.

    Args:
        rows: of :class:`molnet.training.callbacks.History`, at least one.
        path: PNG file.
    """
    errors = [
        name.removeprefix("validation/")
        for name in rows[-1]
        if name.startswith("validation/") and "_mae (" in name and "_per_atom" not in name
    ]
    panels = ["loss", *errors, "learning_rate"]
    figure = _figure(len(panels))
    epochs = [row["epoch"] for row in rows]
    for position, name in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), position)
        if name == "learning_rate":
            curves = {"learning rate": [row[name] for row in rows]}
        else:
            curves = {part: [row[f"{part}/{name}"] for row in rows] for part in _PARTS}
        for label, values in curves.items():
            axes.plot(epochs, values, color=_COLOURS[label], label=label)
        if name == "learning_rate":
            axes.set_ylabel("learning rate")
        else:
            axes.set_ylabel(name if name == "loss" else f"MAE of {name.replace('_mae', '')}")
            axes.legend(frameon=False)
            lowest, highest = np.nanmin(list(curves.values())), np.nanmax(list(curves.values()))
            if highest > 5 * lowest > 0:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=130)


_PARTS = ("train", "validation")
_COLOURS = {"train": "C0", "validation": "C1", "learning rate": "C2"}


def plot_parity(
    quantity: Property,
    reference: np.ndarray,
    prediction: np.ndarray,
    summary: ErrorSummary,
    path: Path,
) -> None:
    """Predictions against references, and the distribution of the errors.

    Args:
        quantity: the property. Reference energies of the atoms are subtracted from total energies.
        reference: [n] in ``quantity.shown_in``, n > 0.
        prediction: [n] likewise.
        summary: the errors that the title states.
        path: PNG file.
    """
    figure = _figure(2)
    _plot_values(figure.add_subplot(1, 2, 1), quantity, reference, prediction)
    _plot_errors(figure.add_subplot(1, 2, 2), quantity, prediction - reference)
    figure.suptitle(
        f"{quantity.meaning or quantity.name}: MAE {summary.mae:.4g} {summary.unit}, "
        f"RMSE {summary.rmse:.4g} {summary.unit}, {summary.count:,} values"
    )
    figure.savefig(path, dpi=130)


def _plot_values(
    axes: Axes, quantity: Property, reference: np.ndarray, prediction: np.ndarray
) -> None:
    unit = quantity.shown_in
    if unit.startswith("meV") and np.ptp(reference) > 2000:
        reference, prediction, unit = reference / 1000, prediction / 1000, unit.removeprefix("m")
    values = np.concatenate([reference, prediction])
    margin = 0.05 * float(np.ptp(values)) or 0.5
    limits = (float(values.min()) - margin, float(values.max()) + margin)
    axes.plot(limits, limits, color="0.6", linewidth=1, zorder=0)
    if len(reference) > MANY_POINTS:
        axes.hexbin(
            reference, prediction, gridsize=80, bins="log", mincnt=1, extent=(*limits, *limits)
        )
    else:
        axes.scatter(reference, prediction, s=8, alpha=0.5, linewidths=0)
    less = " minus atoms" if quantity.is_total_energy else ""
    axes.set(
        xlim=limits,
        ylim=limits,
        aspect="equal",
        xlabel=f"reference {quantity.name}{less} ({unit})",
        ylabel=f"predicted {quantity.name}{less} ({unit})",
    )
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _plot_errors(axes: Axes, quantity: Property, error: np.ndarray) -> None:
    width = float(np.quantile(np.abs(error), CENTRAL)) or 1.0
    axes.hist(error, bins=61, range=(-width, width), color="C0")
    axes.set_xlabel(f"error of {quantity.name} ({quantity.shown_in}), central {CENTRAL:.0%}")
    axes.set_ylabel("count")


def _figure(panels: int) -> Figure:
    figure = Figure(figsize=(4.2 * panels, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
