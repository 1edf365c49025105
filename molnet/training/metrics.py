"""Errors of predictions in the units that people read: mean absolute and root mean square."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torchmetrics import Metric

from molnet.graph.columns import Column
from molnet.graph.elements import SYMBOLS
from molnet.properties import Property
from molnet.units import conversion_factor

NO_VALUE = "(none)"
"""The group of structures that a column says nothing of."""


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


def summary_of(sums: Sequence[float], factor: float, unit: str) -> ErrorSummary:
    """The errors of numbers x, from the sum of |x|, the sum of x² and the number of x."""
    absolute, squared, count = sums
    if count == 0:
        return ErrorSummary(math.nan, math.nan, 0, unit)
    mae, rmse = factor * absolute / count, factor * math.sqrt(squared / count)
    return ErrorSummary(mae, rmse, int(count), unit)


class Errors(Metric):
    """Errors of several properties over a part of a data set.

    Total energies have two rows, ``NAME`` and ``NAME_per_atom``: the second divides each
    structure's error by its number of atoms. Several processes add their errors up.

    Args:
        properties: those that are compared. Labels that are NaN do not count.
    """

    full_state_update = False
    sums: Tensor
    """[rows, 3] float64: of |x|, of x², and the number of x."""

    def __init__(self, properties: Iterable[Property]) -> None:
        super().__init__()
        self.properties = list(properties)
        self.units = units_of_rows(self.properties)
        nothing = torch.zeros(len(self.units), 3, dtype=torch.float64)
        self.add_state("sums", nothing, dist_reduce_fx="sum")

    def update(self, predictions: Mapping[str, Tensor], graph: Batch) -> None:
        """Add the errors of a batch's predictions against the labels that it carries."""
        rows = []
        for _, _, error, labelled in error_rows(self.properties, predictions, graph):
            if error.device.type == "mps":  # has no float64
                error, labelled = error.cpu(), labelled.cpu()
            error = torch.where(labelled, error, 0.0).double()
            rows += [error.abs().sum(), error.square().sum(), labelled.sum().double()]
        sums = torch.stack(rows).reshape(-1, 3)
        self.sums = self.sums.to(sums.device) + sums

    def compute(self) -> Tensor:
        """The sums of all processes since the last ``reset``."""
        return self.sums

    def summaries(self) -> dict[str, ErrorSummary]:
        """The errors of all rows since the last ``reset``."""
        sums = self.compute() if self.update_called else self.sums  # without a warning
        return {
            name: summary_of(of_row, *self.units[name])
            for name, of_row in zip(self.units, sums.tolist(), strict=True)
        }


class ErrorsByGroup:
    """Errors of several properties, group by group; the rows are those of :class:`Errors`.

    Args:
        properties: those that are compared. Labels that are NaN do not count.
    """

    def __init__(self, properties: Iterable[Property]) -> None:
        self.properties = list(properties)
        self._sums: dict[str, Tensor] = {}  # [groups, 3]: of |x|, of x², and the number of x

    def update(
        self,
        predictions: Mapping[str, Tensor],
        graph: Batch,
        of_atoms: Tensor,
        of_structures: Tensor | None = None,
    ) -> None:
        """Add the errors of a batch's predictions against the labels that it carries.

        Args:
            predictions: by property.
            graph: the batch.
            of_atoms: [N] int64, the group of each atom.
            of_structures: [G] int64, the group of each structure; None if the properties are all
                those of atoms.
        """
        for name, entry, error, labelled in error_rows(self.properties, predictions, graph):
            groups = of_atoms if entry.per == "atom" or of_structures is None else of_structures
            error, labelled = error.cpu().double(), labelled.cpu()
            error = torch.where(labelled, error, 0.0).reshape(len(groups), -1)
            numbers = labelled.double().reshape(len(groups), -1)
            sums = torch.stack([error.abs(), error.square(), numbers]).sum(-1).T
            before = self._sums.get(name, sums.new_zeros(0, 3))
            more = max(int(groups.max()) + 1 - len(before), 0)
            grown = torch.cat([before, sums.new_zeros(more, 3)])
            self._sums[name] = grown.index_add_(0, groups, sums)

    def compute(self, names: Sequence[str]) -> dict[str, dict[str, ErrorSummary]]:
        """The errors by group and row, for groups with labels.

        Args:
            names: of the groups.
        """
        errors: dict[str, dict[str, ErrorSummary]] = {}
        units = units_of_rows(self.properties)
        for name, sums in self._sums.items():
            for group in sums[:, 2].nonzero().flatten().tolist():
                rows = errors.setdefault(names[group], {})
                rows[name] = summary_of(sums[group].tolist(), *units[name])
        return errors


class ErrorsByElement:
    """Errors of the properties of atoms, element by element.

    Args:
        properties: those that are compared; those of structures are passed over.
    """

    def __init__(self, properties: Iterable[Property]) -> None:
        self._errors = ErrorsByGroup(entry for entry in properties if entry.per == "atom")

    def update(self, predictions: Mapping[str, Tensor], graph: Batch) -> None:
        """Add the errors of a batch's predictions against the labels that it carries."""
        self._errors.update(predictions, graph, graph.species.cpu().long())

    def compute(self) -> dict[str, dict[str, ErrorSummary]]:
        """The errors by element and property, for elements with labels."""
        return self._errors.compute(SYMBOLS)


class ErrorsByColumn:
    """Errors of structures by the value of a column, such as ``config_type``.

    Args:
        properties: those that are compared.
        most: values, beyond which nothing is compared; None: any number.
    """

    def __init__(self, properties: Iterable[Property], most: int | None = None) -> None:
        self._errors = ErrorsByGroup(properties)
        self._groups: dict[str, int] = {}
        self._most = most

    def update(
        self, predictions: Mapping[str, Tensor], graph: Batch, values: Sequence[Column | None]
    ) -> None:
        """Add the errors of a batch's predictions against the labels that it carries.

        Args:
            predictions: by property.
            graph: the batch.
            values: of the column, one for each structure; None where it has none.
        """
        if self._too_many:
            return
        names = [NO_VALUE if value is None else str(value) for value in values]
        of_structures = torch.tensor(
            [self._groups.setdefault(name, len(self._groups)) for name in names]
        )
        if not self._too_many:
            self._errors.update(predictions, graph, of_structures[graph.batch.cpu()], of_structures)

    def compute(self) -> dict[str, dict[str, ErrorSummary]]:
        """The errors by value and row; nothing where no value, or too many, were found."""
        if self._too_many or self._groups.keys() <= {NO_VALUE}:
            return {}
        return self._errors.compute([*self._groups])

    @property
    def _too_many(self) -> bool:
        return self._most is not None and len(self._groups) > self._most


def units_of_rows(properties: Iterable[Property]) -> dict[str, tuple[float, str]]:
    """For each row a factor from the internal unit, and the unit in which errors are reported."""
    rows = {}
    for entry in properties:
        factor = conversion_factor(entry.unit, entry.shown_in)
        rows[entry.name] = (factor, entry.shown_in)
        if entry.is_total_energy:
            rows[per_atom(entry.name)] = (factor, f"{entry.shown_in}/atom")
    return rows


def error_rows(
    properties: Iterable[Property], predictions: Mapping[str, Tensor], graph: Batch
) -> Iterator[tuple[str, Property, Tensor, Tensor]]:
    """Each row's name, its property, the errors in internal units, and where there are labels."""
    for entry in properties:
        label = graph[entry.name]
        error = predictions[entry.name] - label
        labelled = ~torch.isnan(label)
        yield entry.name, entry, error, labelled
        if entry.is_total_energy:
            yield per_atom(entry.name), entry, error / graph.ptr.diff(), labelled


def per_atom(name: str) -> str:
    """Name of the row with the errors per atom of a total energy."""
    return f"{name}_per_atom"
