"""The errors of one property as a section of a report."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from molnet import report
from molnet.datasets.as_atoms import as_atoms
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.graph.elements import SYMBOLS
from molnet.models import FrozenModel, Model
from molnet.properties import Property
from molnet.report.block import Block
from molnet.training.comparison import Comparison
from molnet.training.metrics import NO_VALUE, per_atom
from molnet.units import conversion_factor

WORST = 8
"""So many structures with the largest errors are shown."""

LARGEST_SHOWN = 2000
"""Atoms; larger structures are left out of the page."""

GROUPS = 10
"""A column has at most so many bars, ..."""

MOST_COLUMNS = 12
RANGES = 6
"""... and one of more numbers has so many ranges."""


def error_section(
    model: Model,
    name: str,
    part: GraphDataset,
    comparison: Comparison,
    quantity: Property,
    known: Mapping[str, np.ndarray],
) -> report.Section:
    """Parity and errors of a property, by element and by what is known of the structures.

    Args:
        model: which was compared.
        name: of the part.
        part: the structures.
        comparison: of the model with the part.
        quantity: the property, of which ``part`` has labels.
        known: of :func:`columns`.
    """
    errors, unit = comparison.errors[quantity.name], quantity.shown_in
    text = (
        f"{_part(name)}: MAE {errors.mae:.4g} {unit}, RMSE {errors.rmse:.4g} {unit}, "
        f"{errors.count:,} values."
    )
    blocks: list[Block] = []
    if errors.count:
        blocks += _distributions(part, comparison, quantity)
        blocks += _by_element(part, comparison, quantity)
        blocks += _by_column(comparison, quantity, known)
        blocks += _worst(model, part, comparison, quantity)
    if quantity.is_total_energy:
        each = comparison.errors[per_atom(quantity.name)]
        text += f" Per atom: MAE {each.mae:.4g} {each.unit}, RMSE {each.rmse:.4g} {each.unit}."
    return report.Section(_title(quantity), blocks, text)


def _part(name: str) -> str:
    return "All structures" if name == "all" else f"{name.capitalize()} part"


def _title(quantity: Property) -> str:
    if quantity.name in quantity.meaning:
        return quantity.meaning[0].upper() + quantity.meaning[1:]
    return f"{quantity.name}: {quantity.meaning}" if quantity.meaning else quantity.name


def _distributions(
    part: GraphDataset, comparison: Comparison, quantity: Property
) -> Iterator[Block]:
    reference, prediction = comparison.pairs[quantity.name]
    rows = comparison.rows[quantity.name]
    total = comparison.errors[quantity.name].count
    sample = f"A regular sample of {len(rows):,} of {total:,} values." if len(rows) < total else ""
    less = " minus atoms" if quantity.is_total_energy else ""
    yield report.Points(
        reference,
        prediction,
        f"reference {quantity.name}{less} ({quantity.shown_in})",
        f"predicted ({quantity.shown_in})",
        _Names(part, rows, quantity),
        parity=True,
        caption=sample,
    )
    counted = "atoms" if quantity.per == "atom" else "structures"
    if quantity.shape:
        counted = f"components of {counted}"
    yield report.Histogram(
        prediction - reference,
        f"error of {quantity.name} ({quantity.shown_in})",
        counted,
        caption="Predicted minus reference.",
    )


class _Names:
    """Names of points, made only for those that are shown."""

    def __init__(self, part: GraphDataset, rows: np.ndarray, quantity: Property) -> None:
        self.part, self.rows, self.of_atoms = part, rows, quantity.per == "atom"
        self.starts = np.concatenate([[0], np.cumsum(part.node_counts)])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> str:
        row = int(self.rows[index])
        if not self.of_atoms:
            return structure_name(self.part, row)
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        number = row - int(self.starts[place])
        species = self.part.store.species[
            self.part.store.offsets[self.part.indices[place]] + number
        ]
        return f"{structure_name(self.part, place)}, atom {number} ({SYMBOLS[int(species)]})"


def structure_name(part: GraphDataset, place: int) -> str:
    """The number of a structure in the data set, its name if it has one, and its formula."""
    index = int(part.indices[place])
    atoms = as_atoms(part.store, index)
    name = f" {atoms.info['name']}" if "name" in atoms.info else ""
    return f"structure {index}{name}, {atoms.get_chemical_formula()}"


def _by_element(part: GraphDataset, comparison: Comparison, quantity: Property) -> Iterator[Block]:
    mean_error = f"MAE of {quantity.name} ({quantity.shown_in})"
    if quantity.per == "atom":
        found = {
            element: rows[quantity.name]
            for element, rows in comparison.by_element.items()
            if quantity.name in rows
        }
        if found:
            yield report.Bars(
                {element: summary.mae for element, summary in found.items()},
                mean_error,
                counts={element: summary.count for element, summary in found.items()},
                caption="By element.",
            )
        return
    errors = comparison.by_structure.mean[quantity.name]
    bars, counts = {}, {}
    for symbol, has in elements_of_structures(part).items():
        if labelled := int(np.isfinite(errors[has]).sum()):
            bars[symbol] = float(np.nanmean(errors[has]))
            counts[symbol] = labelled
    if len(bars) > 1:
        yield report.Bars(
            bars,
            _mean_error(quantity),
            counts=counts,
            caption="Structures that contain the element.",
        )


def elements_of_structures(part: GraphDataset) -> dict[str, np.ndarray]:
    """For each element, which structures of a part contain it [n]."""
    rows, counts = rows_of(part.store.offsets, part.indices)
    species, owner = part.store.species[rows], np.repeat(np.arange(len(part)), counts)
    return {
        SYMBOLS[int(number)]: np.bincount(owner[species == number], minlength=len(part)) > 0
        for number in np.unique(species)
    }


def _mean_error(quantity: Property) -> str:
    unit = f"{quantity.shown_in}/atom" if quantity.is_total_energy else quantity.shown_in
    return f"mean error of {quantity.name} ({unit})"


def _by_column(
    comparison: Comparison, quantity: Property, known: Mapping[str, np.ndarray]
) -> Iterator[Block]:
    errors = comparison.by_structure.mean[quantity.name]
    for name, values in known.items():
        has = np.isfinite(errors)
        if values.dtype.kind == "f":
            has &= np.isfinite(values)
        groups = _groups(values[has])
        bars = {group: float(errors[has][places].mean()) for group, places in groups.items()}
        caption = f"By {name}, mean over structures."
        if len(bars) > GROUPS:
            caption += f" The {GROUPS} of {len(bars):,} with the largest errors."
            bars = dict(sorted(bars.items(), key=lambda bar: -bar[1])[:GROUPS])
        if len(bars) > 1:
            counts = {group: len(groups[group]) for group in bars}
            yield report.Bars(bars, _mean_error(quantity), counts=counts, caption=caption)


def columns(part: GraphDataset, comparison: Comparison) -> dict[str, np.ndarray]:
    """What is known of each structure of a part, by name [n]: numbers or words.

    Of the columns of the data set there are those with two values or more. Words that tell nearly
    every structure from the others are left out.
    """
    store = part.store
    known: dict[str, np.ndarray] = {"number of atoms": part.node_counts}
    if store.charge is not None:
        known["total charge (e)"] = store.charge[part.indices]
    if store.pbc is not None:
        known["periodic directions"] = store.pbc[part.indices].sum(axis=1)
    if comparison.by_structure.distances is not None:
        known["distance to the training set (1: edge of the domain)"] = (
            comparison.by_structure.distances
        )
    rows = [store.columns(int(index)) for index in part.indices]
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str | bool) for value in values):
            words = np.array([NO_VALUE if value is None else str(value) for value in values])
            if 2 <= len(np.unique(words)) <= max(GROUPS, len(words) // 4):
                known[name] = words
        else:
            known[name] = np.array([np.nan if value is None else value for value in values], float)
    return dict(list(known.items())[:MOST_COLUMNS])


def _groups(values: np.ndarray) -> dict[str, np.ndarray]:
    """Places of equal words or values, or of numbers in ranges with about as many each."""
    distinct, which = np.unique(values, return_inverse=True)
    if len(distinct) <= GROUPS or values.dtype.kind == "U":
        return {
            f"{value:.4g}" if value.dtype.kind == "f" else str(value): np.flatnonzero(which == i)
            for i, value in enumerate(distinct)
        }
    borders = np.unique(np.quantile(values, np.linspace(0, 1, RANGES + 1)[1:-1], method="nearest"))
    bins = np.searchsorted(borders, values, side="left")
    ranges = (np.flatnonzero(bins == i) for i in range(len(borders) + 1))
    return {_range(values[places]): places for places in ranges if len(places)}


def _range(values: np.ndarray) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"


def _worst(
    model: Model, part: GraphDataset, comparison: Comparison, quantity: Property
) -> Iterator[Block]:
    of = comparison.by_structure
    errors = np.where(part.node_counts <= LARGEST_SHOWN, of.mean[quantity.name], np.nan)
    worst = np.argsort(-np.nan_to_num(errors, nan=-1.0))[:WORST]
    worst = worst[np.isfinite(errors[worst])]
    if not len(worst):
        return
    of_atoms = _errors_of_atoms(model, part, worst, quantity) if quantity.per == "atom" else None
    named = all("name" in part.store.columns(int(part.indices[place])) for place in worst)
    structures = []
    for rank, place in enumerate(worst):
        index = int(part.indices[place])
        atoms = as_atoms(part.store, index)
        facts: dict[str, str | float] = {
            **({"name": str(atoms.info["name"])} if named else {}),
            "formula": atoms.get_chemical_formula(),
            _mean_error(quantity).replace(f" of {quantity.name} ", "\n"): float(errors[place]),
        }
        if quantity.per == "atom" or quantity.shape:
            facts[f"largest\n({quantity.shown_in})"] = float(of.largest[quantity.name][place])
        if of.distances is not None:
            facts["distance to\ntraining set"] = f"{of.distances[place]:.2f}"
        values = None if of_atoms is None else of_atoms[rank]
        structures.append(report.Structure(str(index), atoms, facts, values))
    yield report.Structures(
        structures,
        f"{quantity.shown_in}, error of each atom's {quantity.name}",
        caption="The structures with the largest errors. Choose one in the table; drag to turn it.",
    )


def _errors_of_atoms(
    model: Model, part: GraphDataset, places: np.ndarray, quantity: Property
) -> list[np.ndarray]:
    """Of each structure [N], the norm of each atom's error; NaN without labels."""
    evaluated, found = FrozenModel(model), []
    factor = conversion_factor(quantity.unit, quantity.shown_in)
    for place in places:
        graph = part[int(place)].to(model.device)
        with torch.no_grad():
            prediction = evaluated(graph)[quantity.name]
        error = (prediction - graph[quantity.name]).cpu().double().reshape(len(prediction), -1)
        found.append(factor * error.norm(dim=1).numpy())
    return found
