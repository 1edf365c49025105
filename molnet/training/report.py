"""The messages of a run: a description before training, errors, and the next commands."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from molnet.kernels import backend
from molnet.models import Model
from molnet.properties import Property
from molnet.tables import table, table_of_groups
from molnet.training.config import TrainConfig, TrainerConfig
from molnet.training.data import DataModule
from molnet.training.durations import format_duration, parse_duration
from molnet.training.invocation import command
from molnet.training.metrics import ErrorSummary, per_atom


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
    products = ", products in TF32 where the device can"
    if trainer.matmul_precision == "highest":
        products = ""
    each = "" if trainer.accumulate == 1 else f"{trainer.accumulate} a step, "
    lines += [
        f"model       {learned:,} parameters, {trainer.dtype}{products}",
        f"runs on     {device}, {_how_it_runs(model, device)}",
        *_describe_processes(trainer, len(data.parts["train"]) / batches),
        f"training    {batches:,} batches an epoch, {each}at most {' or '.join(limits)}",
        f"writes to   {folder}",
    ]
    return "\n".join(lines)


def _describe_processes(trainer: TrainerConfig, structures: float) -> list[str]:
    """How many there are, and whether batches of so many structures have work for all of them."""
    number = trainer.devices * trainer.num_nodes
    if number == 1:
        return []
    lines = [f"processes   {number}, which share each batch of {structures:.4g} structures"]
    if structures < number:
        lines.append("            some have nothing to do: raise dataset.batch_size, or use fewer")
    return lines


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
        to = "" if term.final_weight is None else f" to {term.final_weight:g}"
        lines.append(f"{line}, loss weight {term.weight:g}{to}")
        if "references" in found:
            values = ", ".join(f"{s} {value:.4f}" for s, value in found["references"].items())
            lines.append(f"references  of {name} per atom in {unit}: {values}")
            if "residual_rmse" in found:
                lines.append(f"            RMSE without them: {found['residual_rmse']:.4g} {unit}")
    return lines


def error_table(errors: Mapping[str, Mapping[str, ErrorSummary]]) -> str:
    """A table of the errors with their units.

    Args:
        errors: by part of the data set and quantity. Of the last part there are also the root mean
            square errors, and how many numbers were compared.
    """
    *_, last = errors
    rows = [
        (
            name.replace("_", " "),
            summary.unit,
            *(f"{errors[part][name].mae:.4g}" for part in errors),
            f"{summary.rmse:.4g}",
            f"{summary.count:,}",
        )
        for name, summary in errors[last].items()
    ]
    names = [f"{part}\nMAE" for part in errors]
    return table(("errors", "unit", *names, f"{last}\nRMSE", "\nvalues"), rows, words=(0, 1))


def group_table(errors: Mapping[str, Mapping[str, ErrorSummary]], part: str, by: str) -> str:
    """A table of the groups of atoms or structures with the largest errors.

    Args:
        errors: by group and row.
        part: of the data set.
        by: ``"element"``, or the column that the groups have their names from.
    """
    found = {name for rows in errors.values() for name in rows}
    totals = {name for name in found if per_atom(name) in found}
    hidden = totals if "forces" in found else {per_atom(name) for name in totals}
    shown = {
        group: {
            f"{name.replace('_', ' ')}\n{row.unit}": row.mae
            for name, row in rows.items()
            if name not in hidden
        }
        for group, rows in errors.items()
    }
    return table_of_groups(f"{part} MAE", by, shown)


WORTH_OPENING = {
    "report.html": "all of it in a browser: curves, errors, worst structures",
    "model/": "the best model, for predict and molnet.load",
    "test_predictions.extxyz": "the test structures with references and predictions",
    "test_*.png": "predictions beside references",
    "learning_curves.png": "errors by epoch",
    "metrics.json": "all errors, times and versions",
    "train.log": "all that was printed",
}
"""Files in the folder of a run, and what they are."""


def written_files(folder: Path) -> str:
    """The files of a run that are worth opening, one in a line."""
    there = {name: what for name, what in WORTH_OPENING.items() if any(folder.glob(name))}
    width = max(map(len, there), default=0)
    lines = [f"  {name:{width}}  {what}" for name, what in there.items()]
    return "\n".join([f"in {shown_path(folder)}:", *lines])


def already_finished(folder: Path, limits: TrainerConfig) -> str:
    """What to do with a run that has nothing left to do."""
    return (
        f"{folder} is finished: a limit of the training is reached, and the results are written. "
        f"To train longer, raise the limit:\n\n  {_longer(folder, limits)}\n"
    )


def next_commands(folder: Path, limits: TrainerConfig) -> str:
    """What to do with the model of a run: predict, evaluate, train on."""
    model = shlex.quote(f"model={shown_path(folder)}")
    return (
        "next:\n"
        f"  {command('predict')} {model} FILE\n"
        f"  {command('evaluate')} {model} split=all\n"
        f"  {_longer(folder, limits)}\n"
    )


def _longer(folder: Path, limits: TrainerConfig) -> str:
    """The command that trains on for as long again."""
    longer = []
    if limits.max_epochs is not None:
        longer.append(f"trainer.max_epochs={2 * limits.max_epochs}")
    if limits.max_steps is not None:
        longer.append(f"trainer.max_steps={2 * limits.max_steps}")
    if limits.max_time is not None:
        longer.append(f"trainer.max_time={format_duration(2 * parse_duration(limits.max_time))}")
    return " ".join([command("train"), shlex.quote(f"resume={shown_path(folder)}"), *longer])


def shown_path(folder: Path) -> Path:
    """The shortest name for a folder."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
