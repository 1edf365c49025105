"""Arrays of many structures: NumPy's ``.npz`` as MD17 has it, and HDF5 as ANI and SPICE have it.

Atomic numbers and positions are known by the names that published sets give them. Every other array
with one entry for each structure is kept under its own name: in ``arrays`` if it has a row for each
atom, else in ``info``.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions

NUMBERS = ("nuclear_charges", "atomic_numbers", "numbers", "species", "z", "Z")
POSITIONS = ("coords", "coordinates", "positions", "conformations", "pos", "R")
CELLS = ("cell", "cells", "lattice")
"""Names of arrays that make a structure, the first that is there."""

PER_ATOM = ("charge", "spin", "magmom")
"""Parts of names of numbers of atoms, which tell them from a vector where there are three atoms."""

BLOCK = 1000
"""Structures that are read from a file at once."""

Table = Mapping[str, Any]
"""Arrays, or data sets of an HDF5 file, by name."""


def read_npz(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure of an ``.npz`` file; pickled objects in it are refused, not loaded."""
    with _open_npz(path) as file:
        try:
            table = {name: file[name] for name in file.files}
        except ValueError as error:
            raise StructureFileError(
                f"{path} holds pickled Python objects, which may run any code and are not loaded. "
                "Save plain arrays."
            ) from error
    yield from _structures(table, path, "")


def read_hdf5(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure of each group that holds atomic numbers and positions.

    ``info["name"]`` is the group's name, so that ``split_by=name`` keeps conformations together.

    Raises:
        StructureFileError: h5py is not installed, or no group holds structures.
    """
    h5py = _h5py(path)
    found = False
    with h5py.File(path, "r") as file:
        for name, table in _groups(file, h5py):
            found = True
            yield from _structures(table, path, name)
    if not found:
        raise StructureFileError(
            f"{path}: expected a group with atomic numbers ({', '.join(NUMBERS)}) and positions "
            f"({', '.join(POSITIONS)}), found none."
        )


def units_of_npz(path: Path) -> dict[str, str]:
    """The units that sGDML's files declare of ``"positions"``, energies ``E`` and forces ``F``."""
    with _open_npz(path) as file:
        said = {
            key: str(file[key]).strip("b'") for key in ("r_unit", "e_unit") if key in file.files
        }
    declared = {"positions": said["r_unit"]} if "r_unit" in said else {}
    if len(said) == 2:
        declared |= {"E": said["e_unit"], "F": f"{said['e_unit']}/{said['r_unit']}"}
    return declared


def units_of_hdf5(path: Path) -> dict[str, str]:
    """The units in the attributes of the first group's data sets, as SPICE has them."""
    h5py = _h5py(path)
    declared = {}
    with h5py.File(path, "r") as file:
        _, table = next(_groups(file, h5py), ("", {}))
        for name, data in table.items():
            unit = data.attrs.get("units", data.attrs.get("unit"))
            if unit is not None:
                unit = unit.decode() if isinstance(unit, bytes) else str(unit)
                declared["positions" if name in POSITIONS else name] = unit
    return declared


def _structures(table: Table, path: Path, name: str) -> Iterator[Atoms]:
    numbers, positions = (_named(table, names, path) for names in (NUMBERS, POSITIONS))
    shape = table[positions].shape
    if len(shape) == 2:  # a single structure
        table = {k: v[None] if k != numbers else v for k, v in table.items() if v.shape}
        shape = table[positions].shape
    if len(shape) != 3 or shape[2] != 3:
        raise StructureFileError(
            f"{path}: expected {positions} [structures, atoms, 3], got {list(shape)}"
        )
    of_species = table[numbers]
    each = len(of_species.shape) == 2  # numbers of their own for each structure
    if tuple(of_species.shape) not in {shape[:2], shape[1:2]}:
        raise StructureFileError(
            f"{path}: expected {numbers} [{shape[1]}] or [{shape[0]}, {shape[1]}], as {positions} "
            f"has, got {list(of_species.shape)}"
        )
    for key, values in table.items():
        if len(values.shape) == 3 and values.shape[1:] == shape[1:] and values.shape != shape:
            raise StructureFileError(
                f"{path}: expected {key} {list(shape)}, as {positions} has, got "
                f"{list(values.shape)}: which structures are these of?"
            )
    cell = next((key for key in CELLS if key in table), None)
    others = [
        key
        for key, values in table.items()
        if key not in (numbers, positions, cell) and values.shape[:1] == shape[:1]
    ]
    same = None if each else _atomic_numbers(of_species[:], path)
    for start in range(0, shape[0], BLOCK):
        rows = slice(start, start + BLOCK)
        block = {key: np.asarray(table[key][rows]) for key in (positions, *others)}
        cells = None if cell is None else np.asarray(table[cell])
        species = _atomic_numbers(of_species[rows], path) if same is None else same
        every = np.broadcast_to(species, block[positions].shape[:2])
        for index, (z, place) in enumerate(zip(every, block[positions], strict=True)):
            real = z > 0  # structures of fewer atoms are filled up with zeros
            atoms = Atoms(z[real], place[real])
            if cells is not None:
                atoms.set_cell(cells[start + index] if cells.ndim == 3 else cells)
                atoms.pbc = True
            for key in others:
                _add(atoms, key, block[key][index], real, frame_name(path, start + index))
            if name:
                atoms.info["name"] = name
            yield atoms


def _add(atoms: Atoms, key: str, value: NDArray[Any], real: NDArray[np.bool_], place: str) -> None:
    """Keep a value of one structure."""
    if value.dtype.kind in "SO":
        value = np.asarray(value).astype(str)
    if value.ndim and value.shape[0] == len(real):
        is_vector = value.shape == (3,) and not any(part in key.lower() for part in PER_ATOM)
        if not is_vector:
            atoms.set_array(key, np.array(value[real]))
            return
    atoms.info[key] = value.item() if value.size == 1 else np.array(value)


def _atomic_numbers(values: Any, path: Path) -> NDArray[np.int64]:
    """Atomic numbers, which may be written as symbols."""
    values = np.asarray(values)
    if values.dtype.kind in "SOU":
        symbols = [each.decode() if isinstance(each, bytes) else str(each) for each in values.flat]
        unknown = next((symbol for symbol in symbols if symbol not in ATOMIC_NUMBERS), None)
        if unknown is not None:
            raise StructureFileError(f"{path}: {unknown!r} is no element.")
        return np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols]).reshape(values.shape)
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise StructureFileError(f"{path}: expected whole atomic numbers, got {values.flat[0]}")
    return whole


def _named(table: Table, names: tuple[str, ...], path: Path) -> str:
    found = next((name for name in names if name in table), None)
    if found is None:
        raise StructureFileError(
            f"{path}: expected an array of one of the names {', '.join(names)}, found "
            f"{', '.join(table) or 'none'}."
        )
    return found


def _groups(group: Any, h5py: Any) -> Iterator[tuple[str, Table]]:
    """Groups with structures, by their last name; each with its data sets."""
    table = {key: item for key, item in group.items() if isinstance(item, h5py.Dataset)}
    if any(key in table for key in NUMBERS) and any(key in table for key in POSITIONS):
        yield group.name.rsplit("/", 1)[-1], table
    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from _groups(item, h5py)


def _open_npz(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise StructureFileError(
            f"{path} cannot be read as npz: {error}. Fetch or write it again."
        ) from error


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise StructureFileError(
            f'{path} is an HDF5 file: pip install h5py, or pip install "molnet[hdf5]".'
        ) from error
    return h5py
