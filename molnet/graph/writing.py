"""Files of structures with the results of their calculators, written one structure at a time.

ASE writes them: extended XYZ (numbers of atoms to 8 decimals, numbers of structures in full), its
trajectories and its databases. What ASE's formats leave open is settled here: entries of ``arrays``
that trajectories and databases do not know stand in ``info``, under the same name.
"""

import gzip
import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db.core import check as check_pairs
from ase.db.row import AtomsRow
from ase.io.trajectory import TrajectoryWriter
from ase.stress import full_3x3_to_voigt_6_stress

KNOWN_ARRAYS = {
    "numbers",
    "positions",
    "momenta",
    "masses",
    "tags",
    "initial_magmoms",
    "initial_charges",
}
"""Entries of ``arrays`` that ASE's binary formats have a place for."""


class StructureWriter(ABC):
    """Writes a file of structures; :meth:`close` must be called at the end.

    Args:
        path: the file, which is replaced.
        units: by the name of the result or entry, for formats that declare them.
    """

    @abstractmethod
    def __init__(self, path: Path, units: Mapping[str, str]) -> None: ...

    @abstractmethod
    def write(self, atoms: Atoms) -> None:
        """Add one structure with its ``info``, ``arrays``, constraints and results."""

    def flush(self) -> None:  # noqa: B027 - most have nothing to flush
        """Write what is left; a full disk shows here at the latest."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left, and close the file."""


class ExtendedXYZ(StructureWriter):
    """Extended XYZ; the entry ``units`` of each frame names the units."""

    def __init__(self, path: Path, units: Mapping[str, str], compressed: bool = False) -> None:
        self._file = open_text(path, compressed)

    def write(self, atoms: Atoms) -> None:
        text = io.StringIO()  # so that an interruption leaves whole frames behind
        ase.io.write(text, atoms, format="extxyz")
        self._file.write(text.getvalue())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Trajectory(StructureWriter):
    """ASE's trajectories."""

    def __init__(self, path: Path, units: Mapping[str, str]) -> None:
        self._file = TrajectoryWriter(str(path), mode="w")

    def write(self, atoms: Atoms) -> None:
        self._file.write(_with_arrays_in_info(atoms))

    def close(self) -> None:
        self._file.close()


class Database(StructureWriter):
    """ASE's databases of SQLite: numbers and words of ``info`` are key-value pairs, the rest data.

    Units are declared in the metadata, as SchNetPack does.
    """

    def __init__(self, path: Path, units: Mapping[str, str]) -> None:
        Path(f"{path}-journal").unlink(missing_ok=True)  # of a process that was killed
        # ASE's own lock would be a file beside this one.
        self._database = ase.db.connect(str(path), type="db", append=False, use_lock_file=False)
        self._database.__enter__()
        self._database.metadata = {"_distance_unit": "Ang", "_property_unit_dict": dict(units)}

    def write(self, atoms: Atoms) -> None:
        pairs: dict[str, Any] = {}
        data: dict[str, Any] = {}
        for name, value in _with_arrays_in_info(atoms).info.items():
            words = isinstance(value, np.ndarray) and value.dtype.kind == "U"  # not read back
            number = isinstance(value, np.generic)  # not written
            group = pairs if _is_pair(name, value) else data
            group[name] = value.tolist() if words or number else value
        self._database.write(atoms, pairs, data)

    def close(self) -> None:
        self._database.__exit__(None, None, None)  # keeps what is there after an error as well


PLAIN = (str, bool, int, float, complex, np.ndarray, np.generic, list, tuple, dict, type(None))
"""What ASE's binary formats can hold; anything else, such as a spacegroup, becomes a text."""


def _with_arrays_in_info(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.info = {
        name: value if isinstance(value, PLAIN) else str(value)
        for name, value in atoms.info.items()
    }
    copy.calc = atoms.calc
    copy.info |= {name: array for name, array in atoms.arrays.items() if name not in KNOWN_ARRAYS}
    return copy


def _is_pair(name: str, value: Any) -> bool:
    """Whether a database can search for an entry."""
    if hasattr(AtomsRow, name):
        return False  # a row would answer with a quantity of its own, such as its charge
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # names that a search takes for formulas
            check_pairs({name: value})
    except (ValueError, UserWarning):
        return False
    return True


def attach(atoms: Atoms, values: Mapping[str, Any], of_atoms: Collection[str]) -> None:
    """Add values of a structure where readers look for them.

    What ASE knows by name becomes the result of a calculator, so that ``get_forces()`` and the
    like return it. All else has a place in ``arrays`` or ``info``.

    Args:
        atoms: the structure.
        values: by name, [*shape] or [N, *shape]; the stress as 3×3 or in ASE's order.
        of_atoms: names of those that have a value for each atom.
    """
    results = {}
    for name, value in values.items():
        if name == "stress" and np.shape(value) == (3, 3):
            results[name] = full_3x3_to_voigt_6_stress(value)
        elif name in all_properties:
            results[name] = value
        elif name in of_atoms:
            atoms.arrays[name] = np.reshape(value, (len(atoms), -1))
        else:
            atoms.info[name] = np.ravel(value) if np.ndim(value) else float(value)
    atoms.calc = SinglePointCalculator(atoms, **results)


def open_text(path: Path, compressed: bool) -> IO[str]:
    """A new text file, compressed by gzip if wanted."""
    if compressed:
        return gzip.open(path, "wt", encoding="utf-8")
    return open(path, "w", encoding="utf-8")
