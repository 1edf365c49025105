"""The summary of predictions for files, gathered in constant memory."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molnet.graph.frames import frame_name
from molnet.models import Model
from molnet.models.domain import DISTANCE, DISTANCES, Outside
from molnet.properties import Property
from molnet.simulate.calculator import ase_results
from molnet.simulate.writing import Frame, Prediction

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
        for name, row, unit, count in (
            ("energy", "energy per atom", "meV", len(frame.atoms)),
            ("forces", "force components", "meV/Å", 1),
        ):
            if labels.get(name) is None or name not in predicted:
                continue
            values, label = np.asarray(predicted[name]), _numbers(labels[name])
            if label.shape == values.shape and np.isfinite(label).all():
                error = np.abs(values - label) / count
                self.errors.setdefault((row, unit), Range()).add(1e3 * error)
            else:
                self._pass_over(frame, name, labels[name], values.shape)

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
        table: list[tuple[str, ...]] = [("property", "unit", "min", "mean", "max")]
        for (name, unit), values in self.ranges.items():
            numbers = (values.minimum, values.mean, values.maximum)
            table.append((name, unit, *(f"{number:.4f}" for number in numbers)))
        lines += _aligned(table)
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
            table = [("error", "unit", "MAE", "count")]
            for (name, unit), values in self.errors.items():
                table.append((name, unit, f"{values.mean:.4g}", str(values.count)))
            lines += _aligned(table)
        if self.passed_over:
            lines.append(f"labels that could not be compared: {self.passed_over}")
        return "\n".join([*lines, f"written to {self.output}"])


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


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    """A line for each row: names and units flush left, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
