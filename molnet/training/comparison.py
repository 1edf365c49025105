"""Errors of a model on a part of a data set, with samples of references and predictions."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from molnet.datasets.dataset import GraphDataset
from molnet.graph.columns import GROUPING, MOST_GROUPS
from molnet.graph.elements import ATOMIC_NUMBERS, SYMBOLS
from molnet.models import FrozenModel, Model, PredictionError, check_finite
from molnet.progress import progress
from molnet.properties import Property
from molnet.training.by_structure import ErrorsByStructure, StructureErrors
from molnet.training.domain import DomainFigures, domain_figures
from molnet.training.metrics import Errors, ErrorsByColumn, ErrorsByElement, ErrorSummary
from molnet.training.predictions import PredictionWriter
from molnet.units import conversion_factor

SHOWN_ROWS = 20_000
"""Largest number of structures or atoms whose values are kept for plots."""


@dataclass(frozen=True)
class Comparison:
    """A model's errors on one part of a data set.

    Attributes:
        errors: by property, in the units that people read.
        by_element: errors of the properties of atoms, by element and property.
        by_column: errors by column of the data set, value and property.
        pairs: by property references and predictions [n], component by component, in the same
            units; a regular sample of large parts. The reference energies of the atoms are
            subtracted from total energies, as the model's errors are tiny beside them.
        rows: by property [n], the structure or atom of the part that each of ``pairs`` is of.
        by_structure: errors of every structure.
        domain: what the distance to the training set tells of the errors; None for a model that
            does not know its domain.
    """

    errors: dict[str, ErrorSummary]
    by_element: dict[str, dict[str, ErrorSummary]]
    by_column: dict[str, dict[str, dict[str, ErrorSummary]]]
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    rows: dict[str, np.ndarray]
    by_structure: StructureErrors
    domain: DomainFigures | None


def compare(
    model: Model,
    part: GraphDataset,
    batches: Iterable[Batch],
    write_to: Path | None = None,
    description: str = "",
    by: str | None = None,
) -> Comparison:
    """Compare a model's predictions with the labels of a part of a data set.

    Args:
        model: on any device.
        part: the structures; the properties that it carries are compared.
        batches: all of ``part`` in its order.
        write_to: an extended XYZ file for structures, references and predictions.
        description: shown beside the progress bar.
        by: a column by whose values errors are given; None: those of
            :data:`~molnet.graph.columns.GROUPING` that have 2 to 50 values.

    Raises:
        ValueError: a prediction is no finite number; names the structure.
    """
    properties = list(part.properties.values())
    errors, by_element = Errors(properties), ErrorsByElement(properties)
    most = MOST_GROUPS if by is None else None
    by_column = {
        column: ErrorsByColumn(properties, most) for column in (GROUPING if by is None else [by])
    }
    samples = {entry.name: _Sample(entry, part, model) for entry in properties}
    by_structure = ErrorsByStructure(properties)
    evaluated = FrozenModel(model)
    seen = 0
    with (
        nullcontext() if write_to is None else PredictionWriter(write_to, part) as writer,
        progress(description, len(part), "structures") as shown,
    ):
        for batch in batches:
            graph = batch.to(model.device)
            with torch.no_grad():
                predictions = evaluated(graph, measure=True)
            _check(predictions, graph, model, part, seen)
            columns = [
                part.store.columns(int(index))
                for index in part.indices[seen : seen + graph.num_graphs]
            ]
            seen += graph.num_graphs
            if "stress" in part.properties and "stress" not in predictions:
                predictions["stress"] = torch.full_like(graph.stress, torch.nan)  # no volume
            errors.update(predictions, graph)
            by_element.update(predictions, graph)
            by_structure.update(predictions, graph)
            for column, of_values in by_column.items():
                of_values.update(predictions, graph, [has.get(column) for has in columns])
            for name, sample in samples.items():
                sample.add(graph, predictions[name])
            if writer is not None:
                writer.write(graph, predictions)
            shown.advance(graph.num_graphs)
    of_structures = by_structure.compute()
    return Comparison(
        errors.summaries(),
        by_element.compute(),
        {name: found for name, of in by_column.items() if len(found := of.compute()) > 1},
        {name: sample.pairs() for name, sample in samples.items()},
        {name: sample.rows() for name, sample in samples.items()},
        of_structures,
        domain_figures(of_structures, part.properties),
    )


def _check(
    predictions: dict[str, Tensor], graph: Batch, model: Model, part: GraphDataset, seen: int
) -> None:
    try:
        check_finite(predictions, graph, model.properties)
    except PredictionError as error:
        index = part.indices[seen + error.index]
        raise ValueError(f"structure {index} of {part.store.path}: {error}") from error


class _Sample:
    """Every k-th row (structure or atom) of the references and predictions of a property."""

    def __init__(self, quantity: Property, part: GraphDataset, model: Model) -> None:
        rows = len(part) if quantity.per == "structure" else int(part.node_counts.sum())
        self.name = quantity.name
        self.stride = -(-rows // SHOWN_ROWS)
        self.factor = conversion_factor(quantity.unit, quantity.shown_in)
        self.seen = 0
        self.kept: list[Tensor] = []
        self.atoms: Tensor | None = None  # reference energies by atomic number
        if quantity.is_total_energy:
            self.atoms = torch.zeros(len(SYMBOLS), dtype=torch.float64)
            for symbol, energy in model.statistics["targets"][quantity.name]["references"].items():
                self.atoms[ATOMIC_NUMBERS[symbol]] = energy

    def add(self, graph: Batch, prediction: Tensor) -> None:
        pair = torch.stack([graph[self.name].cpu().double(), prediction.cpu().double()])
        if self.atoms is not None:
            pair.index_add_(1, graph.batch.cpu(), -self.atoms[graph.species.cpu()].expand(2, -1))
        chosen = slice(-self.seen % self.stride, None, self.stride)
        self.seen += pair.shape[1]
        self.kept.append(pair[:, chosen].flatten(1))

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        reference, prediction = self.factor * torch.cat(self.kept, dim=1)
        labelled = ~torch.isnan(reference)
        return reference[labelled].numpy(), prediction[labelled].numpy()

    def rows(self) -> np.ndarray:
        """The structure or atom, counted within the part, of each pair."""
        labelled = ~torch.isnan(torch.cat(self.kept, dim=1)[0]).numpy()
        sampled = np.arange(0, self.seen, self.stride)
        components = len(labelled) // max(len(sampled), 1)
        return np.repeat(sampled, components)[labelled]
