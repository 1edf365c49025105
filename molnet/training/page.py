"""``report.html`` in the folder of a run or an evaluation: all of it in one page."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from molnet import report
from molnet.graph.elements import SYMBOLS
from molnet.models import Model
from molnet.report.block import Block
from molnet.training.config import TrainConfig
from molnet.training.data import DataModule
from molnet.training.durations import format_duration
from molnet.training.error_section import columns, error_section
from molnet.training.results import Results

log = logging.getLogger(__name__)

PAGE = "report.html"


def write_page(folder: Path, make: Callable[[], None]) -> None:
    """Write a page at the end, when all else is saved: an error in it costs no results.

    Args:
        folder: of the run.
        make: writes the page.
    """
    try:
        make()
    except Exception:
        log.exception(
            "%s could not be written. All other results are saved. Please report this error:",
            folder / PAGE,
        )


def run_page(
    folder: Path,
    settings: TrainConfig,
    plain: Mapping[str, Any],
    data: DataModule,
    results: Results,
    history: list[dict[str, float]],
    metrics: Mapping[str, Any],
) -> None:
    """The page of a training.

    Args:
        folder: of the run.
        settings: checked.
        plain: the same, as ``config.yaml`` holds them.
        data: the parts of the data set.
        results: errors on the parts.
        history: one row for each epoch.
        metrics: what ``metrics.json`` holds.
    """
    model = results.model
    report.write(
        folder / PAGE,
        f"Training on {settings.dataset.name}",
        [
            _errors(results),
            report.Section("Learning curves", _learning_curves(history)),
            *_of_properties(results),
            report.Section("Data", [report.Facts(_data(model, results) | _parts(data))]),
            report.Section("Model", [report.Facts(_model(model, metrics))]),
            report.Section("Time", [report.Facts(_time(history, metrics))]),
            report.Section("Settings", [report.Facts(_without_none(plain))], folded=True),
            _versions(metrics),
        ],
        _headline(results) | {"trained in": _trained_in(metrics)},
        _subtitle(folder, model),
    )


def evaluation_page(
    folder: Path, model_folder: str, results: Results, metrics: Mapping[str, Any]
) -> None:
    """The page of an evaluation.

    Args:
        folder: of the evaluation.
        model_folder: of the model.
        results: errors on the part that was compared.
        metrics: what ``metrics.json`` holds.
    """
    model = results.model
    report.write(
        folder / PAGE,
        f"Evaluation on {metrics['dataset']}",
        [
            _errors(results),
            *_of_properties(results),
            report.Section("Data", [report.Facts(_data(model, results))]),
            report.Section("Model", [report.Facts({"folder": model_folder} | _model(model, {}))]),
            _versions(metrics),
        ],
        _headline(results),
        _subtitle(folder, model),
    )


def _subtitle(folder: Path, model: Model) -> str:
    theory = model.provenance.get("level_of_theory")
    return f"{folder}" + (f" · {theory}" if theory else "")


def _headline(results: Results) -> dict[str, str]:
    name, comparison = list(results.comparisons.items())[-1]
    of = "" if name == "all" else f"{name} "
    return {
        f"{of}MAE of {row.replace('_', ' ')}": f"{summary.mae:.3g} {summary.unit}"
        for row, summary in comparison.errors.items()
        if summary.count
    }


def _errors(results: Results) -> report.Section:
    *_, last = results.comparisons
    parts = list(results.comparisons)
    rows: list[list[str | int | float]] = []
    for name, summary in results.comparisons[last].errors.items():
        found = [results.comparisons[part].errors[name].mae for part in parts]
        rows.append([name.replace("_", " "), summary.unit, *found, summary.rmse, summary.count])
    header = ["quantity", "unit", *(f"{part}\nMAE" for part in parts), f"{last}\nRMSE", "values"]
    domain = results.comparisons[last].domain
    text = "" if domain is None else f"{last.capitalize()} part: {domain}."
    return report.Section("Errors", [report.Table(header, rows)], text)


def _of_properties(results: Results) -> list[report.Section]:
    name, comparison = list(results.comparisons.items())[-1]
    part = results.parts[name]
    known = columns(part, comparison)
    return [
        error_section(results.model, name, part, comparison, quantity, known)
        for quantity in part.properties.values()
    ]


def _learning_curves(history: list[dict[str, float]]) -> list[Block]:
    epochs = [row["epoch"] for row in history]
    names = ["loss"] + [
        name.removeprefix("validation/")
        for name in history[-1]
        if name.startswith("validation/") and "_mae (" in name
    ]
    charts: list[Block] = []
    for name in names:
        series = {
            part: [row[f"{part}/{name}"] for row in history] for part in ("train", "validation")
        }
        values = [value for curve in series.values() for value in curve]
        label = name if name == "loss" else f"MAE of {name.replace('_mae', '').replace('_', ' ')}"
        log_scale = min(values) > 0 and max(values) > 5 * min(values)
        charts.append(report.Lines(epochs, series, "epoch", label, log=log_scale))
    rates = {"learning rate": [row["learning_rate"] for row in history]}
    return [*charts, report.Lines(epochs, rates, "epoch", "learning rate")]


def _data(model: Model, results: Results) -> dict[str, object]:
    *_, part = results.parts.values()
    store, source = part.store, part.store.manifest["source"]
    facts: dict[str, object] = {
        "structures": len(store),
        "atoms": len(store.species),
        "elements": ", ".join(f"{symbol} {count:,}" for symbol, count in store.elements.items()),
        "labels": ", ".join(f"{name} in {of.unit}" for name, of in part.properties.items()),
        "level of theory": model.provenance.get("level_of_theory") or "not stated",
        "checksum": store.checksum[:16],
    }
    for label, entry in source.get("labels", {}).items():
        if isinstance(entry, dict) and "unit" in entry:
            facts[f"{label} in the files"] = f"{entry.get('key')} in {entry['unit']}"
    if files := source.get("files"):
        # Names and checksums, or a list of what is known of each.
        names = list(files) if isinstance(files, dict) else [file["path"] for file in files]
        shown = [str(name) for name in names[:5]]
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        facts["files"] = ", ".join(shown) + more
    for name, compared in results.parts.items():
        facts[f"compared: {name} part"] = f"{len(compared):,} structures"
    return facts


def _parts(data: DataModule) -> dict[str, object]:
    return {f"{name} part": f"{len(part):,} structures" for name, part in data.parts.items()}


def _model(model: Model, metrics: Mapping[str, Any]) -> dict[str, object]:
    facts: dict[str, object] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "precision": str(model.dtype).removeprefix("torch."),
        "cutoff": f"{model.cutoff:g} Å",
        "predicts": ", ".join(f"{name} ({of.unit})" for name, of in model.properties.items()),
        "elements": ", ".join(SYMBOLS[number] for number in model.species),
    }
    if "best_epoch" in metrics:
        facts["best epoch"] = f"{metrics['best_epoch']} of {metrics['epochs']}"
    for name, target in model.statistics["targets"].items():
        for symbol, energy in target.get("references", {}).items():
            facts[f"reference {name} of {symbol}"] = f"{energy:.4f} {model.properties[name].unit}"
    return facts


def _time(history: list[dict[str, float]], metrics: Mapping[str, Any]) -> dict[str, object]:
    seconds = [row["seconds"] for row in history]
    facts: dict[str, object] = {
        name.replace("_", " "): format_duration(value) for name, value in metrics["seconds"].items()
    }
    facts["epochs"] = len(history)
    facts["steps"] = int(history[-1]["step"])
    facts["mean of an epoch"] = f"{seconds[-1] / len(seconds):.3g} s"
    facts["waiting for data"] = f"{100 * metrics['data_wait']:.0f} % of training"
    for part, value in metrics.get("profile", {}).items():
        facts[f"profile: {part}"] = f"{value:.1f} s"
    return facts


def _trained_in(metrics: Mapping[str, Any]) -> str:
    return format_duration(metrics["seconds"]["preparation_and_training"])


def _versions(metrics: Mapping[str, Any]) -> report.Section:
    return report.Section("Versions", [report.Facts(metrics["versions"])], folded=True)


def _without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are set: hundreds of empty ones would hide them."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value is not None and value != {}
    }
