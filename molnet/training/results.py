"""Files with the errors of a model: metrics.json, predictions, plots; and a table in the log."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch_geometric.data import Batch

from molnet.datasets.dataset import GraphDataset
from molnet.models import Model
from molnet.stored import read_object, write_whole
from molnet.training.comparison import Comparison, compare
from molnet.training.metrics import ErrorSummary
from molnet.training.plots import plot_parity
from molnet.training.report import error_table, group_table
from molnet.training.versions import versions

log = logging.getLogger(__name__)

METRICS = "metrics.json"


class Results:
    """Compares a model with parts of a data set, and writes the results to a folder.

    Args:
        model: in evaluation mode.
        folder: gets ``metrics.json``, ``PART_predictions.extxyz`` and ``PART_PROPERTY.png``.
        by: see :func:`~molnet.training.comparison.compare`.
    """

    def __init__(self, model: Model, folder: Path, by: str | None = None) -> None:
        self.by = by
        self.model = model
        self.folder = folder
        self.comparisons: dict[str, Comparison] = {}
        self.parts: dict[str, GraphDataset] = {}

    def add(
        self, name: str, part: GraphDataset, batches: Iterable[Batch], in_full: bool = False
    ) -> None:
        """Compare with one part.

        Args:
            name: of the part.
            part: the structures.
            batches: all of ``part`` in its order.
            in_full: write predictions and plots besides the errors.
        """
        predictions = self.folder / f"{name}_predictions.extxyz" if in_full else None
        comparison = compare(self.model, part, batches, predictions, f"{name} part", self.by)
        self.comparisons[name], self.parts[name] = comparison, part
        if not in_full:
            return
        for quantity in part.properties.values():
            reference, prediction = comparison.pairs[quantity.name]
            if len(reference):
                plot_parity(
                    quantity,
                    reference,
                    prediction,
                    comparison.errors[quantity.name],
                    self.folder / f"{name}_{quantity.name}.png",
                )

    def write(self, **more: Any) -> dict[str, Any]:
        """Write ``metrics.json``: the errors by part and property, what the domain tells of them,
        ``more``, and versions.

        The errors are logged as a table.
        """
        errors = {name: comparison.errors for name, comparison in self.comparisons.items()}
        log.info("\n%s\n", error_table(errors))
        last, comparison = list(self.comparisons.items())[-1]
        if len(comparison.by_element) > 1:
            log.info("%s\n", group_table(comparison.by_element, last, "element"))
        for column, found in [*comparison.by_column.items()][:1]:
            log.info("%s\n", group_table(found, last, column))
        metrics: dict[str, Any] = {
            name: {row: asdict(errors) for row, errors in comparison.errors.items()}
            for name, comparison in self.comparisons.items()
        }
        domains = {name: of.domain for name, of in self.comparisons.items() if of.domain}
        if domains:
            metrics["domain"] = {name: asdict(figures) for name, figures in domains.items()}
            last = [*domains][-1]
            log.info("%s part: %s\n", last, domains[last])
        metrics |= {
            "by_element": {name: _plain(of.by_element) for name, of in self.comparisons.items()},
            "by_column": {
                name: {column: _plain(found) for column, found in of.by_column.items()}
                for name, of in self.comparisons.items()
                if of.by_column
            },
        }
        metrics |= more | {"versions": versions()}
        text = json.dumps(metrics, indent=2, ensure_ascii=False)
        write_whole(self.folder / METRICS, text + "\n")
        return metrics

    def by_name(self) -> dict[str, float]:
        """All errors of all parts, ``final/PART/NAME_mae (UNIT)`` and ``..._rmse (UNIT)``."""
        found = {}
        for part, comparison in self.comparisons.items():
            for name, errors in comparison.errors.items():
                if errors.count:
                    found[f"final/{part}/{name}_mae ({errors.unit})"] = errors.mae
                    found[f"final/{part}/{name}_rmse ({errors.unit})"] = errors.rmse
        return found


def _plain(errors: Mapping[str, Mapping[str, ErrorSummary]]) -> dict[str, dict[str, Any]]:
    return {
        group: {row: asdict(of_row) for row, of_row in rows.items()}
        for group, rows in errors.items()
    }


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The content of a run's ``metrics.json``; None if the file is absent or damaged."""
    path = folder / METRICS
    if not path.is_file():
        return None
    try:
        return read_object(path)
    except ValueError as error:
        log.warning("%s is damaged (%s) and is written again.", path, error)
        return None
