"""Predictions as structures (extended XYZ, ASE's trajectories and databases), CSV or JSON.

Every format states the units, is written one structure at a time, and keeps what the input says
of its structures, except for labels: those of ``info``, ``arrays`` and calculators under ASE's
names, or under the names of predicted properties, would be taken for predictions.
"""

import csv
import errno
import json
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from numpy.typing import NDArray

from molnet.graph.columns import columns_of
from molnet.graph.writing import (
    Database,
    ExtendedXYZ,
    StructureWriter,
    Trajectory,
    attach,
    open_text,
)
from molnet.models import Model
from molnet.models.domain import DISTANCE, DISTANCES
from molnet.properties import Property
from molnet.simulate.calculator import ase_results

logger = logging.getLogger(__name__)

Prediction = Mapping[str, NDArray[Any]]
"""A structure's properties by name, in internal units."""


class Frame(NamedTuple):
    """A structure and where it was read."""

    path: Path
    number: int  # counted from 0, as ASE does
    atoms: Atoms


class PredictionWriter(ABC):
    """Writes the predictions of a model to a file; :meth:`close` must be called at the end."""

    def __init__(self, path: Path, model: Model, compressed: bool = False) -> None:
        self.path = path
        self.model = model
        self.structures = 0
        # "Ang", so that readers with any locale can take in the file.
        self.units = {name: p.unit.replace("Å", "Ang") for name, p in model.properties.items()}

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Adds one structure."""
        with explained_place(self.path):
            self._write(frame, prediction)
        self.structures += 1

    def finish(self) -> None:
        """Writes the end of the file; a full disk shows here at the latest."""
        with explained_place(self.path):
            self._end()

    @abstractmethod
    def close(self) -> None:
        """Closes the file."""

    @abstractmethod
    def _write(self, frame: Frame, prediction: Prediction) -> None: ...

    @abstractmethod
    def _end(self) -> None: ...


class StructuresWriter(PredictionWriter):
    """Writes the structures with the predictions as the results of their calculators.

    After ``ase.io.read``, ``get_potential_energy()``, ``get_forces()`` and so on return the
    predictions. Properties that ASE does not know are in ``info`` and ``arrays`` under their names.
    Of a model that knows its domain, ``info["domain_distance"]`` and
    ``arrays["domain_distances"]`` tell how far structure and atoms are from its training set.
    ``info["units"]`` has all units, ``info["source_file"]`` and ``info["source_frame"]`` the origin
    of each structure.
    """

    def __init__(self, path: Path, model: Model, compressed: bool = False) -> None:
        super().__init__(path, model)
        self._file = self._opened(compressed)

    def _opened(self, compressed: bool) -> StructureWriter:
        return ExtendedXYZ(self.path, self.units, compressed)

    def _write(self, frame: Frame, prediction: Prediction) -> None:
        results = ase_results(self.model, prediction)
        atoms = without_labels(frame.atoms, results)
        of_atoms = [p.name for p in self.model.properties.values() if p.per == "atom"]
        attach(atoms, results, [*of_atoms, DISTANCES])
        units = (f"{name}: {self.units[name]}" for name in prediction if name in self.units)
        atoms.info["units"] = ", ".join(units)
        atoms.info["source_file"] = str(frame.path)
        atoms.info["source_frame"] = frame.number
        self._file.write(atoms)

    def _end(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TrajectoryWriter(StructuresWriter):
    """The same as ASE's trajectory; there entries of ``arrays`` are in ``info``."""

    def _opened(self, compressed: bool) -> StructureWriter:
        return Trajectory(self.path, self.units)


class DatabaseWriter(StructuresWriter):
    """The same as ASE's database, whose rows have the entries as key-value pairs or data."""

    def _opened(self, compressed: bool) -> StructureWriter:
        return Database(self.path, self.units)


class TextWriter(PredictionWriter):
    """Writes a text file."""

    def __init__(self, path: Path, model: Model, compressed: bool = False) -> None:
        super().__init__(path, model)
        self.file = open_text(path, compressed)

    def _end(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class CSVWriter(TextWriter):
    """A row for each structure and a column, with its unit, for each number that describes it.

    Numbers and short words in the ``info`` of the first structure have columns as well. Values of
    single atoms have no place in such a table; of the forces it holds the largest.
    """

    def __init__(self, path: Path, model: Model, compressed: bool = False) -> None:
        super().__init__(path, model, compressed)
        self.columns: list[str] = []
        for property in model.properties.values():
            self.columns += [f"{name} ({property.unit})" for name in _column_names(property)]
        self.columns += [] if model.domain is None else [DISTANCE]
        left_out = [
            property.name
            for property in model.properties.values()
            if property.per == "atom" and property.name != "forces"
        ]
        if left_out:
            logger.warning(
                "CSV has no place for values of single atoms (%s): write .extxyz or .json for them",
                ", ".join(left_out),
            )
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.kept: list[str] = []
        self.told: set[str] = set()

    def _write(self, frame: Frame, prediction: Prediction) -> None:
        atoms = without_labels(frame.atoms, prediction)
        origin = {
            "file": frame.path,
            "frame": frame.number,
            "formula": atoms.get_chemical_formula(),
            "atoms": len(atoms),
        }
        if not self.structures:
            self.kept = [name for name in columns_of(atoms) if name not in origin]
            self.rows.writerow([*origin, *self.kept, *self.columns])
        self._tell_of(set(columns_of(atoms)) - {*origin, *self.kept})
        row: list[Any] = [*origin.values(), *(atoms.info.get(name, "") for name in self.kept)]
        for property in self.model.properties.values():
            names = _column_names(property)
            if property.name not in prediction:  # the stress of a molecule
                row += [""] * len(names)
            elif property.name == "forces":
                row.append(np.linalg.norm(prediction["forces"], axis=1).max().item())
            elif names:
                row += prediction[property.name].reshape(-1).tolist()
        if self.model.domain is not None:
            row.append(prediction[DISTANCE].item())
        self.rows.writerow(row)

    def _tell_of(self, left_out: set[str]) -> None:
        if new := sorted(left_out - self.told):
            logger.warning(
                "the first structure has no %s, so that CSV has no column for it: write .extxyz or "
                ".json to keep it",
                ", ".join(new),
            )
            self.told |= left_out


class JSONWriter(TextWriter):
    """An object with ``units`` and the list ``structures``, each with geometry and properties."""

    def __init__(self, path: Path, model: Model, compressed: bool = False) -> None:
        super().__init__(path, model, compressed)
        units = {"positions": "Å", "cell": "Å"}
        units |= {property.name: property.unit for property in model.properties.values()}
        self.file.write(f'{{"units": {json.dumps(units, ensure_ascii=False)},\n"structures": [')

    def _write(self, frame: Frame, prediction: Prediction) -> None:
        atoms = without_labels(frame.atoms, prediction)
        known = ("numbers", "positions")
        entry = {
            "file": str(frame.path),
            "frame": frame.number,
            "formula": atoms.get_chemical_formula(),
            "symbols": atoms.get_chemical_symbols(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
            "info": atoms.info,
            "arrays": {name: rows for name, rows in atoms.arrays.items() if name not in known},
            "constraints": [constraint.todict() for constraint in atoms.constraints],
            **{name: value.tolist() for name, value in prediction.items()},
        }
        self.file.write((",\n" if self.structures else "\n") + json.dumps(entry, default=_plain))

    def _end(self) -> None:
        self.file.write("\n]}\n")
        super()._end()


def without_labels(atoms: Atoms, predicted: Mapping[str, Any]) -> Atoms:
    """A copy of a structure without labels that could be taken for predictions."""
    copy = atoms.copy()  # without the calculator
    for name in [*all_properties, *predicted, DISTANCE, DISTANCES]:
        copy.info.pop(name, None)
        copy.arrays.pop(name, None)
    return copy


COMPRESSIBLE: dict[str, type[PredictionWriter]] = {
    ".extxyz": StructuresWriter,
    ".xyz": StructuresWriter,
    ".csv": CSVWriter,
    ".json": JSONWriter,
}
"""By the suffix of the output; ``.gz`` may follow."""

WRITERS = COMPRESSIBLE | {".traj": TrajectoryWriter, ".db": DatabaseWriter}
"""By the suffix of the output."""


@contextmanager
def explained_place(path: str | Path) -> Iterator[None]:
    """Within this block errors of the disk name the file and say what to do."""
    try:
        yield
    except OSError as error:
        message = f"cannot write here ({error.strerror}): choose another place with output=FILE"
        raise OSError(error.errno, message, str(path)) from error
    except sqlite3.Error as error:
        raise OSError(
            errno.EIO,
            f"cannot write here ({error}): choose another place with output=FILE",
            str(path),
        ) from error


def _column_names(property: Property) -> list[str]:
    """CSV columns of a property, one for each number: ``dipole_x``, ``stress_yz`` ..."""
    if property.name == "forces":
        return ["max_force"]
    if property.per == "atom":
        return []
    if property.shape == ():
        return [property.name]
    axes = ["xyz" if size == 3 else map(str, range(size)) for size in property.shape]
    return [f"{property.name}_{''.join(index)}" for index in product(*axes)]


def _plain(value: Any) -> Any:
    """What JSON knows in place of what it does not know."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
