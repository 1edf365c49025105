"""Files of predictions: extended XYZ, CSV or JSON, written one structure at a time.

Every format states the units. The output is written to ``NAME.partial`` and renamed at the end, so
that a file of this name is always whole.
"""

import csv
import errno
import gzip
import io
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import IO, Any, NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from molnet.models import Model
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
    """Writes the predictions of a model to an open text file."""

    def __init__(self, file: IO[str], model: Model) -> None:
        self.file = file
        self.model = model
        self.structures = 0

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """Adds one structure."""
        with _explained(self.file.name):
            self._write(frame, prediction)
        self.structures += 1

    def finish(self) -> None:
        """Writes the end of the file; a full disk shows here at the latest."""
        with _explained(self.file.name):
            self._end()
            self.file.flush()

    @abstractmethod
    def _write(self, frame: Frame, prediction: Prediction) -> None: ...

    def _end(self) -> None:  # noqa: B027 - most formats just stop
        pass


class ExtendedXYZWriter(PredictionWriter):
    """Writes the structures with the predictions as the results of their calculators.

    After ``ase.io.read``, ``get_potential_energy()``, ``get_forces()`` and so on return the
    predictions. Properties that ASE does not know are in ``info`` and ``arrays`` under their names.
    ``info["units"]`` has all units, ``info["source_file"]`` and ``info["source_frame"]`` the origin
    of each structure. Other entries of the input are kept; labels of predicted properties are
    replaced.
    """

    def _write(self, frame: Frame, prediction: Prediction) -> None:
        results = ase_results(self.model, prediction)
        atoms = frame.atoms.copy()  # without the calculator that holds the input's labels
        for name in [*all_properties, *results]:
            atoms.info.pop(name, None)
            atoms.arrays.pop(name, None)
        standard = {name: value for name, value in results.items() if name in all_properties}
        for name, value in results.items():
            if name not in standard and self.model.properties[name].per == "atom":
                atoms.arrays[name] = value.reshape(len(atoms), -1)
            elif name not in standard:
                atoms.info[name] = value
        # "Ang", so that readers with any locale can take in the file.
        units = {name: self.model.properties[name].unit.replace("Å", "Ang") for name in prediction}
        atoms.info["units"] = ", ".join(f"{name}: {unit}" for name, unit in units.items())
        atoms.info["source_file"] = str(frame.path)
        atoms.info["source_frame"] = frame.number
        atoms.calc = SinglePointCalculator(atoms, **standard)
        frame_text = io.StringIO()  # so that an interruption leaves whole frames behind
        ase.io.write(frame_text, atoms, format="extxyz")
        self.file.write(frame_text.getvalue())


class CSVWriter(PredictionWriter):
    """A row for each structure and a column, with its unit, for each number that describes it.

    Values of single atoms have no place in such a table; of the forces it holds the largest.
    """

    def __init__(self, file: IO[str], model: Model) -> None:
        super().__init__(file, model)
        self.columns = ["file", "frame", "formula", "atoms"]
        for property in model.properties.values():
            self.columns += [f"{name} ({property.unit})" for name in _column_names(property)]
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
        self.rows = csv.writer(file, lineterminator="\n")
        self.rows.writerow(self.columns)

    def _write(self, frame: Frame, prediction: Prediction) -> None:
        atoms = frame.atoms
        row: list[Any] = [frame.path, frame.number, atoms.get_chemical_formula(), len(atoms)]
        for property in self.model.properties.values():
            names = _column_names(property)
            if property.name not in prediction:  # the stress of a molecule
                row += [""] * len(names)
            elif property.name == "forces":
                row.append(np.linalg.norm(prediction["forces"], axis=1).max().item())
            elif names:
                row += prediction[property.name].reshape(-1).tolist()
        self.rows.writerow(row)


class JSONWriter(PredictionWriter):
    """An object with ``units`` and the list ``structures``, each with geometry and properties."""

    def __init__(self, file: IO[str], model: Model) -> None:
        super().__init__(file, model)
        units = {"positions": "Å", "cell": "Å"}
        units |= {property.name: property.unit for property in model.properties.values()}
        file.write(f'{{"units": {json.dumps(units, ensure_ascii=False)},\n"structures": [')

    def _write(self, frame: Frame, prediction: Prediction) -> None:
        atoms = frame.atoms
        entry = {
            "file": str(frame.path),
            "frame": frame.number,
            "formula": atoms.get_chemical_formula(),
            "symbols": atoms.get_chemical_symbols(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
            **{name: value.tolist() for name, value in prediction.items()},
        }
        self.file.write((",\n" if self.structures else "\n") + json.dumps(entry))

    def _end(self) -> None:
        self.file.write("\n]}\n")


WRITERS: dict[str, type[PredictionWriter]] = {
    ".extxyz": ExtendedXYZWriter,
    ".xyz": ExtendedXYZWriter,
    ".csv": CSVWriter,
    ".json": JSONWriter,
}


def writer_for(output: Path) -> type[PredictionWriter]:
    """The format that a file's name asks for.

    Raises:
        ValueError: for a name that ends in none of the known suffixes.
    """
    suffix = Path(output.stem if output.suffix == ".gz" else output).suffix
    if suffix not in WRITERS:
        raise ValueError(
            f"expected an output file ending in {', '.join(WRITERS)} (or one of these and .gz), "
            f"received {output}"
        )
    return WRITERS[suffix]


@contextmanager
def reserved(output: Path, inputs: Sequence[Path]) -> Iterator[None]:
    """Within this block ``output`` can be written, and by nobody else.

    Args:
        output: the final name of the file.
        inputs: files that must stay as they are.

    Raises:
        ValueError: for an unknown suffix; for an output that is an input, by whatever name, or is
            being written by another process.
        OSError: it is a folder, or the place cannot be written to.
    """
    writer_for(output)
    if output.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "this is a folder: name a file in it with output=FILE", str(output)
        )
    for path in (output, partial_of(output)):
        for file in inputs:
            # resolved, as "new/../a.xyz" is a.xyz once there is the folder "new"
            if path.resolve() == file.resolve() or (path.exists() and path.samefile(file)):
                raise ValueError(
                    f"the output {path} is also an input ({file}), which predictions must not "
                    "replace: name another file with output=FILE"
                )
    lock_path = output.with_name(f".{output.name}.lock")
    lock = FileLock(lock_path, timeout=0)
    with _explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"another process is writing predictions to {output}: wait until it has ended, or "
                "name another file with output=FILE"
            ) from error
    try:
        yield
    finally:
        lock_path.unlink(missing_ok=True)
        lock.release()


def partial_of(output: Path) -> Path:
    """The name of the file while it is incomplete."""
    return output.with_name(f"{output.name}.partial")


@contextmanager
def open_predictions(output: Path, model: Model) -> Iterator[PredictionWriter]:
    """A writer whose file takes its name when the block ends without an error.

    After an error, or Ctrl-C, what was written by then stays in ``OUTPUT.partial``, and a log line
    says so. A file that had the name before is replaced at the end, and not touched earlier.

    Raises:
        ValueError: for an unknown suffix.
        OSError: when the place cannot be written to, or the disk is full.
    """
    format = writer_for(output)
    partial = partial_of(output)
    file = _create(partial, compressed=output.suffix == ".gz")
    writer = format(file, model)
    try:
        try:
            yield writer
            writer.finish()
        finally:
            with _explained(partial):
                file.close()
        with _explained(output):
            partial.replace(output)
    except BaseException:
        if writer.structures:
            logger.warning("up to %d predictions are kept in %s", writer.structures, partial)
        else:
            partial.unlink()
        raise


def _create(path: Path, compressed: bool) -> IO[str]:
    with _explained(path):
        if compressed:
            return gzip.open(path, "wt", encoding="utf-8")
        return open(path, "w", encoding="utf-8")


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot write here ({error.strerror}): choose another place with output=FILE"
        raise OSError(error.errno, message, str(path)) from error


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
