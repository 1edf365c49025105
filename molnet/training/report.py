"""The messages of a run: a description before training, errors, and the next commands."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from molnet.kernels import backend
from molnet.models import Model
from molnet.properties import Property
from molnet.training.config import TrainConfig
from molnet.training.data import DataModule
from molnet.training.durations import format_duration, parse_duration
from molnet.training.invocation import command
from molnet.training.metrics import ErrorSummary


def describe_run(
    config: TrainConfig, data: DataModule, model: Model, device: torch.device, folder: Path
) -> str:
    """The description of data and model that is printed before the first epoch.

    Args:
        config: the settings.
        data: the parts of the data set.
        model: the model, with the statistics of the training part.
        device: where it is trained.
        folder: where the run writes.
    """
    store, statistics = data.store, model.statistics
    elements = ", ".join(f"{symbol} {count:,}" for symbol, count in store.elements.items())
    parts = ", ".join(f"{len(part):,} {name}" for name, part in data.parts.items())
    lines = [
        f"data        {config.dataset.name}: {len(store):,} structures ({parts})",
        f"theory      {config.dataset.level_of_theory or 'not stated (dataset.level_of_theory)'}",
        f"atoms       {len(store.species):,}: {elements}",
        f"neighbours  {statistics['mean_neighbours']:.1f} per atom within {model.cutoff:g} Å",
    ]
    lines += _describe_labels(model.properties, config, statistics)
    batches = len(data.train_dataloader())
    learned = sum(parameter.numel() for parameter in model.parameters())
    trainer = config.trainer
    limits = [] if trainer.max_epochs is None else [f"{trainer.max_epochs:,} epochs"]
    limits += [] if trainer.max_steps is None else [f"{trainer.max_steps:,} steps"]
    if trainer.max_time is not None:
        limits.append(format_duration(parse_duration(trainer.max_time)))
    lines += [
        f"model       {learned:,} parameters, {trainer.dtype}",
        f"runs on     {device}, {_how_it_runs(model, device)}",
        f"training    {batches:,} batches an epoch, at most {' or '.join(limits)}",
        f"writes to   {folder}",
    ]
    return "\n".join(lines)


def _how_it_runs(model: Model, device: torch.device) -> str:
    """Passes of kernels over all layers, kernels of single modules, or plain PyTorch."""
    what = backend(device, model.dtype, model.network.l_max)
    if "compiled" not in what:
        return what
    refusal = model.network.why_not_compiled()
    if refusal is None:
        return "compiled passes over all layers"
    return f"compiled kernels module by module, as {refusal}"


def _describe_labels(
    properties: Mapping[str, Property], config: TrainConfig, statistics: Mapping[str, Any]
) -> list[str]:
    lines = []
    for name, term in config.target.losses.items():
        unit = properties[name].unit
        found = statistics["targets"][name]
        line = f"label       {name} in {unit}, scale {found['scale']:.4g} {unit}"
        if "mean" in found:
            line += f", mean {found['mean']:.4g} {unit}"
        lines.append(f"{line}, loss weight {term.weight:g}")
        if "references" in found:
            values = ", ".join(f"{s} {value:.4f}" for s, value in found["references"].items())
            lines.append(f"references  of {name} per atom in {unit}: {values}")
            if "residual_rmse" in found:
                lines.append(f"            RMSE without them: {found['residual_rmse']:.4g} {unit}")
    return lines


def error_table(errors: Mapping[str, ErrorSummary], title: str) -> str:
    """A table of errors with their units."""
    rows = [
        (name.replace("_", " "), f"{row.mae:.4g}", f"{row.rmse:.4g}", row.unit, f"{row.count:,}")
        for name, row in errors.items()
    ]
    return table([(title, "MAE", "RMSE", "unit", "values"), *rows])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text: the first and the unit to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = (0, 3)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def already_finished(folder: Path) -> str:
    """What to do with a run that has nothing left to do."""
    longer = shlex.quote(f"resume={_shown(folder)}")
    return (
        f"{folder} is finished: a limit of the training is reached, and the results are written. "
        "To train longer, raise the limit:\n\n"
        f"  {command('train')} {longer} trainer.max_epochs=N\n"
    )


def next_commands(folder: Path) -> str:
    """What to do with the model of a run."""
    shown = _shown(folder)
    model = shlex.quote(f"model={shown / 'model'}")
    structures = shlex.quote(f"input={shown / 'test_predictions.extxyz'}")
    return (
        "Predict any structure file, or evaluate the model on other data (dataset=...):\n\n"
        f"  {command('predict')} {model} {structures}\n"
        f"  {command('evaluate')} {model}\n"
    )


def _shown(folder: Path) -> Path:
    """The shortest name for a folder."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
