"""Errors of predictions in the units that people read: mean absolute and root mean square."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch

from molnet.graph.elements import SYMBOLS
from molnet.properties import Property
from molnet.units import conversion_factor


@dataclass(frozen=True)
class ErrorSummary:
    """Errors over all components of all labels.

    Attributes:
        mae: mean absolute error; NaN if nothing was compared.
        rmse: root mean square error; NaN if nothing was compared.
        count: number of components that were compared (three for each force).
        unit: of ``mae`` and ``rmse``.
    """

    mae: float
    rmse: float
    count: int
    unit: str


class RunningErrors:
    """Sums of the errors of one quantity, in float64.

    Args:
        factor: from the internal unit to ``unit``.
        unit: in which the errors are reported.
    """

    def __init__(self, factor: float, unit: str) -> None:
        self.factor = factor
        self.unit = unit
        self.reset()

    def reset(self) -> None:
        """Forget all errors."""
        self._sums: Tensor | None = None  # of |x|, of x², and the number of x

    def update(self, error: Tensor, labelled: Tensor) -> None:
        """Add the errors where ``labelled``, a mask of the same shape."""
        if error.device.type == "mps":  # has no float64
            error, labelled = error.cpu(), labelled.cpu()
        error = torch.where(labelled, error.detach(), 0.0).double()
        sums = torch.stack([error.abs().sum(), error.square().sum(), labelled.sum().double()])
        self._sums = sums if self._sums is None else self._sums + sums

    def compute(self) -> ErrorSummary:
        """The errors of everything added since the last :meth:`reset`."""
        absolute, squared, count = (0.0, 0.0, 0.0) if self._sums is None else self._sums.tolist()
        if count == 0:
            return ErrorSummary(math.nan, math.nan, 0, self.unit)
        mae, rmse = self.factor * absolute / count, self.factor * math.sqrt(squared / count)
        return ErrorSummary(mae, rmse, int(count), self.unit)


class Errors:
    """Errors of several properties over a part of a data set.

    Total energies have two rows, ``NAME`` and ``NAME_per_atom``: the second divides each
    structure's error by its number of atoms.

    Args:
        properties: those that are compared. Labels that are NaN do not count.
    """

    def __init__(self, properties: Iterable[Property]) -> None:
        self.properties = list(properties)
        self.rows: dict[str, RunningErrors] = {}
        for entry in self.properties:
            factor = conversion_factor(entry.unit, entry.shown_in)
            self.rows[entry.name] = RunningErrors(factor, entry.shown_in)
            if entry.is_total_energy:
                self.rows[per_atom(entry.name)] = RunningErrors(factor, f"{entry.shown_in}/atom")

    def update(self, predictions: Mapping[str, Tensor], graph: Batch) -> None:
        """Add the errors of a batch's predictions against the labels that it carries."""
        for entry in self.properties:
            label = graph[entry.name]
            error = predictions[entry.name] - label
            labelled = ~torch.isnan(label)
            self.rows[entry.name].update(error, labelled)
            if entry.is_total_energy:
                self.rows[per_atom(entry.name)].update(error / graph.ptr.diff(), labelled)

    def compute(self) -> dict[str, ErrorSummary]:
        """The errors of all rows since the last :meth:`reset`."""
        return {name: row.compute() for name, row in self.rows.items()}

    def reset(self) -> None:
        """Forget all errors."""
        for row in self.rows.values():
            row.reset()


class ErrorsByElement:
    """Errors of the properties of atoms, element by element.

    Args:
        properties: those that are compared; those of structures are passed over. Labels that are
            NaN do not count.
    """

    def __init__(self, properties: Iterable[Property]) -> None:
        self.properties = [entry for entry in properties if entry.per == "atom"]
        # of |x|, of x², and the number of x, by atomic number
        self._sums = torch.zeros(len(self.properties), len(SYMBOLS), 3, dtype=torch.float64)

    def update(self, predictions: Mapping[str, Tensor], graph: Batch) -> None:
        """Add the errors of a batch's predictions against the labels that it carries."""
        species = graph.species.cpu().long()
        for sums, entry in zip(self._sums, self.properties, strict=True):
            label = graph[entry.name].cpu().double().reshape(len(species), -1)
            error = predictions[entry.name].cpu().double().reshape(len(species), -1) - label
            labelled = ~torch.isnan(label)
            error = torch.where(labelled, error, 0.0)
            of_atoms = torch.stack([error.abs(), error.square(), labelled.double()]).sum(-1).T
            sums.index_add_(0, species, of_atoms)

    def compute(self) -> dict[str, dict[str, ErrorSummary]]:
        """The errors by element and property, for elements with labels."""
        errors: dict[str, dict[str, ErrorSummary]] = {}
        for sums, entry in zip(self._sums, self.properties, strict=True):
            factor = conversion_factor(entry.unit, entry.shown_in)
            for number in sums[:, 2].nonzero().flatten().tolist():
                absolute, squared, count = sums[number].tolist()
                errors.setdefault(SYMBOLS[number], {})[entry.name] = ErrorSummary(
                    factor * absolute / count,
                    factor * math.sqrt(squared / count),
                    int(count),
                    entry.shown_in,
                )
        return errors


def per_atom(name: str) -> str:
    """Name of the row with the errors per atom of a total energy."""
    return f"{name}_per_atom"
