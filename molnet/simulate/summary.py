"""The summary of predictions for files, gathered in constant memory."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molnet.graph.columns import GROUPING, MOST_GROUPS, columns_of
from molnet.graph.elements import SYMBOLS
from molnet.graph.frames import frame_name
from molnet.models import Model
from molnet.models.domain import DISTANCE, DISTANCES, Outside
from molnet.properties import Property
from molnet.simulate.calculator import ase_results
from molnet.simulate.writing import Frame, Prediction
from molnet.tables import table, table_of_groups

logger = logging.getLogger(__name__)

DOUBTS_SHOWN = 3
"""How many implausible structures are logged with the reason."""


@dataclass
class Range:
    """Minimum, mean and maximum of a stream of numbers."""

    minimum: float = np.inf
    maximum: float = -np.inf
    total: float = 0.0
    count: int = 0

    def add(self, values: NDArray[np.floating]) -> None:
        """Takes in an array of any shape."""
        if values.size:
            self.minimum = min(self.minimum, float(values.min()))
            self.maximum = max(self.maximum, float(values.max()))
            self.total += float(values.sum(dtype=np.float64))
            self.count += values.size

    @property
    def mean(self) -> float:
        """The mean; NaN of no numbers."""
        return self.total / self.count if self.count else np.nan


Groups = dict[str, dict[tuple[str, str], Range]]
"""Errors by the name of a group, and by row name and unit."""


@dataclass
class Summary:
    """Counts, ranges of each property, and errors where the input is labelled.

    ``str(summary)`` is a table for people.

    Attributes:
        model: whose predictions these are.
        output: where they are written.
        structures: how many.
        atoms: how many in all.
        doubtful: how many structures are not plausible.
        outside: which structures lie outside of the model's domain.
        passed_over: how many labels of the input are not such that they could be compared.
        seconds: time that reading, predicting and writing took.
        ranges: by row name and unit. Total energies are taken per atom, vectors by their norm,
            and tensors by a third of their trace.
        errors: absolute errors of energy per atom and force components, by row name and unit, for
            structures that came with labels under ASE's names, hence in eV and eV/Å.
    """

    model: Model = field(repr=False)
    output: Path
    structures: int = 0
    atoms: int = 0
    seconds: float = 0.0
    doubtful: int = 0
    outside: Outside = field(default_factory=Outside)
    passed_over: int = 0
    ranges: dict[tuple[str, str], Range] = field(default_factory=dict)
    errors: dict[tuple[str, str], Range] = field(default_factory=dict)
    _groups: dict[str, Groups] = field(default_factory=dict, repr=False)

    def add(self, frame: Frame, prediction: Prediction) -> None:
        """Takes in the predictions of one structure."""
        self.structures += 1
        self.atoms += len(frame.atoms)
        if DISTANCES in prediction:
            name = frame_name(frame.path, frame.number)
            self.outside.add(name, prediction[DISTANCES], frame.atoms.numbers)
            self.ranges.setdefault((DISTANCE, ""), Range()).add(prediction[DISTANCE])
        for name, property in self.model.properties.items():
            if (value := prediction.get(name)) is None:  # the stress of a molecule
                continue
            row, numbers = _in_one_number(property, value, len(frame.atoms))
            self.ranges.setdefault((row, property.unit), Range()).add(numbers)
        self._compare(frame, prediction)

    def doubt(self, frame: Frame, reason: str) -> None:
        """Counts an implausible structure; the first few are logged."""
        self.doubtful += 1
        if self.doubtful <= DOUBTS_SHOWN:
            logger.warning("%s is not plausible: %s", frame_name(frame.path, frame.number), reason)

    def _compare(self, frame: Frame, prediction: Prediction) -> None:
        if frame.atoms.calc is None:
            return
        # Read directly: the calculator's methods would zero the forces on fixed atoms.
        labels = frame.atoms.calc.results
        predicted = ase_results(self.model, prediction)
        columns = columns_of(frame.atoms)
        for name, row, unit, count in (
            ("energy", "energy per atom", "meV", len(frame.atoms)),
            ("forces", "force components", "meV/Å", 1),
        ):
            if labels.get(name) is None or name not in predicted:
                continue
            values, label = np.asarray(predicted[name]), _numbers(labels[name])
            if label.shape == values.shape and np.isfinite(label).all():
                error = 1e3 * np.abs(values - label) / count
                self.errors.setdefault((row, unit), Range()).add(error)
                for column in GROUPING:
                    if column in columns:
                        self._add_to_group(column, str(columns[column]), (row, unit), error)
                for number in np.unique(frame.atoms.numbers) if name == "forces" else ():
                    of_element = error[frame.atoms.numbers == number]
                    self._add_to_group("element", SYMBOLS[number], (row, unit), of_element)
            else:
                self._pass_over(frame, name, labels[name], values.shape)

    @property
    def by_group(self) -> dict[str, Groups]:
        """The errors of forces by ``"element"``, and all errors by the value of ``config_type``,
        ``kind`` and ``name`` in ``info``, where they have 2 to 50 values.
        """
        return {
            by: groups
            for by in ("element", *GROUPING)
            if len(groups := self._groups.get(by, {})) > 1
            and (by == "element" or len(groups) <= MOST_GROUPS)
        }

    def _add_to_group(
        self, by: str, group: str, row: tuple[str, str], errors: NDArray[np.floating]
    ) -> None:
        groups = self._groups.setdefault(by, {})
        if group in groups or by == "element" or len(groups) <= MOST_GROUPS:
            groups.setdefault(group, {}).setdefault(row, Range()).add(errors)

    def _pass_over(self, frame: Frame, name: str, label: object, shape: tuple[int, ...]) -> None:
        """Says of the first label that cannot be compared why."""
        if not self.passed_over:
            logger.warning(
                "%s: the label %r is not compared: expected finite numbers of shape %s, got %.80r",
                *(frame_name(frame.path, frame.number), name, shape, label),
            )
        self.passed_over += 1

    def __str__(self) -> str:
        rate = self.structures / self.seconds if self.seconds else np.nan
        noun = "structure" if self.structures == 1 else "structures"
        lines = [
            f"{self.structures} {noun}, {self.atoms} atoms, {self.seconds:.1f} s "
            f"({rate:.0f} structures/s)"
        ]
        ranges = []
        for (name, unit), values in self.ranges.items():
            numbers = (values.minimum, values.mean, values.maximum)
            ranges.append((name, unit, *(f"{number:.4f}" for number in numbers)))
        lines += ["", table(("property", "unit", "min", "mean", "max"), ranges, words=(0, 1)), ""]
        if self.model.energy_is_relative:
            lines.append(
                f"{self.model.energy}: the model was trained on forces alone, so the zero of the "
                "energy is arbitrary for each composition. Energies are not compared."
            )
        if self.doubtful:
            lines.append(f"implausible structures (do not trust these): {self.doubtful}")
        if self.outside.count:
            lines.append(f"warning: {self.outside}")
        if self.errors:
            lines.append("errors against the labels of the input, read in ASE's units (eV, Å):")
            errors = [
                (name, unit, f"{values.mean:.4g}", f"{values.count:,}")
                for (name, unit), values in self.errors.items()
            ]
            lines += [table(("error", "unit", "MAE", "values"), errors, words=(0, 1)), ""]
            lines += self._group_tables()
        if self.passed_over:
            lines.append(f"labels that could not be compared: {self.passed_over}")
        return "\n".join([*lines, f"written to {self.output}"])

    def _group_tables(self) -> Iterator[str]:
        """By element, and by the first column that tells kinds of structures apart."""
        of_columns = [by for by in self.by_group if by != "element"]
        for by in ("element", *of_columns[:1]):
            if groups := self.by_group.get(by):
                means = {
                    group: {f"{name}\n{unit}": errors.mean for (name, unit), errors in rows.items()}
                    for group, rows in groups.items()
                }
                yield table_of_groups("MAE", by, means)
                yield ""


def _numbers(label: object) -> NDArray[np.float64]:
    """A label as numbers; NaN for what is none, such as ``energy=`` with nothing behind it."""
    try:
        numbers = np.asarray(label)
        return np.full((), np.nan) if numbers.dtype == bool else numbers.astype(np.float64)
    except (TypeError, ValueError):
        return np.full((), np.nan)


def _in_one_number(
    property: Property, value: NDArray[np.floating], atoms: int
) -> tuple[str, NDArray[np.floating]]:
    """The name of a property's row, and one number for each of its values."""
    if property.is_total_energy:
        return f"{property.name} per atom", np.asarray(value) / atoms
    if property.shape == (3,):
        return f"|{property.name}|", np.linalg.norm(value, axis=-1)
    if property.shape == (3, 3):
        return f"tr {property.name} / 3", np.trace(value, axis1=-2, axis2=-1) / 3
    return property.name, np.asarray(value)
