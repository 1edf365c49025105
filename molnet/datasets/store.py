"""The on-disk form of every data set: flat, memory-mapped arrays and a JSON manifest.

A store is a folder with one ``.npy`` file for each array and ``manifest.json``. The atoms of all n
structures stand one after the other; structure i owns rows ``offsets[i]:offsets[i + 1]``:

==================  ================  ===========================================================
``positions``       [ΣN, 3] float64   Å
``species``         [ΣN] uint8        atomic numbers
``offsets``         [n + 1] int64
``cells``           [n, 3, 3] float64 rows are the cell vectors, Å; only with periodic structures
``pbc``             [n, 3] bool       only with periodic structures
``label-NAME``      float64           [n, *shape] or [ΣN, *shape], in the property's internal unit
==================  ================  ===========================================================

Nothing is pickled, nothing is loaded before it is indexed, and a store may be far larger than
memory. Forked worker processes share the pages; spawned ones open the folder again.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from molnet import __version__
from molnet.datasets.arrays import GrowingArray, open_array
from molnet.datasets.cache import atomic_folder, writing
from molnet.datasets.edges import EdgeTable, open_edges
from molnet.properties import Property

FORMAT_VERSION = 1
FLUSHED_STRUCTURES = 4096
FLUSHED_ATOMS = 200_000


class StoreError(ValueError):
    """A folder is not a store, is damaged or incomplete, or was written by a newer version."""


class ArrayStore:
    """A data set on disk, opened for reading with :meth:`open`.

    Attributes:
        path: the folder.
        manifest: what ``manifest.json`` says: counts, units, source, checksum.
        positions: [ΣN, 3] float64, Å.
        species: [ΣN] uint8, atomic numbers.
        offsets: [n + 1] int64; structure i owns the atoms ``offsets[i]:offsets[i + 1]``.
        cells: [n, 3, 3] float64, Å, zeros for molecules; None when no structure is periodic.
        pbc: [n, 3] bool; None when no structure is periodic.
        labels: for each property [n, *shape] or [ΣN, *shape], float64, internal units. The stress
            is NaN where a structure has no volume.
        properties: the labelled properties by name.
    """

    def __init__(
        self, path: Path, manifest: dict[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.positions = arrays["positions"]
        self.species = arrays["species"]
        self.offsets = arrays["offsets"]
        self.cells = arrays.get("cells")
        self.pbc = arrays.get("pbc")
        self.properties = {
            name: Property(**(fields | {"shape": tuple(fields["shape"])}))
            for name, fields in manifest["properties"].items()
        }
        self.labels = {name: arrays[f"label-{name}"] for name in self.properties}

    @classmethod
    def open(cls, path: str | Path) -> "ArrayStore":
        """Opens a store; only the manifest and the arrays' headers are read.

        Raises:
            StoreError: the folder is not a whole store of a version that is known here.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        try:
            arrays = {
                name: open_array(path / f"{name}.npy", entry)
                for name, entry in manifest["arrays"].items()
            }
            return cls(path, manifest, arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the array store {path} is damaged: {error}. Delete this folder; "
                "it is built again from its source."
            ) from error

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayStore.open, (self.path,)  # a copy in another process maps the same files

    def __repr__(self) -> str:
        return (
            f"ArrayStore({str(self.path)!r}: {len(self):,} structures, {len(self.species):,} "
            f"atoms, labels: {', '.join(self.labels) or 'none'})"
        )

    @property
    def checksum(self) -> str:
        """SHA-256 over the contents of all arrays: the identity of the data set."""
        return str(self.manifest["checksum"])

    @property
    def elements(self) -> dict[str, int]:
        """The number of atoms of each element, by symbol, in order of atomic number."""
        return dict(self.manifest["elements"])

    def edges(self, cutoff: float) -> EdgeTable:
        """All pairs closer than ``cutoff`` Å; found once, then kept in the store's folder."""
        return open_edges(self, cutoff)


class StoreWriter:
    """Builds a store structure by structure in constant memory.

    Use it as a context manager. The folder appears when the block ends well, in one step; any
    exception leaves nothing behind. A folder that another process has made meanwhile is kept.

    Example::

        with StoreWriter(folder, [get_property("energy")], source={"files": [...]}) as writer:
            for atoms in tqdm(frames):
                writer.add(atoms.numbers, atoms.positions, labels={"energy": -1.0})
        store = ArrayStore.open(folder)

    Args:
        folder: the store to make.
        properties: the properties that every structure is labelled with.
        source: JSON-able description of where the data come from (files, checksums, keys, units);
            may be completed in ``writer.source`` until the block ends.
    """

    def __init__(
        self, folder: str | Path, properties: Sequence[Property], source: dict[str, Any]
    ) -> None:
        self.folder = Path(folder)
        self.properties = {property.name: property for property in properties}
        self.source = source
        self.structures = 0
        self._atoms = 0
        self._any_periodic = False
        self._element_counts = np.zeros(256, dtype=np.int64)
        self._clear_buffers()

    def __enter__(self) -> Self:
        rows: dict[str, tuple[type, tuple[int, ...]]] = {
            "positions": (np.float64, (3,)),
            "species": (np.uint8, ()),
            "offsets": (np.int64, ()),
            "cells": (np.float64, (3, 3)),
            "pbc": (np.bool_, (3,)),
        }
        for name, property in self.properties.items():
            rows[f"label-{name}"] = (np.float64, property.shape)
        with ExitStack() as stack:
            self._partial = stack.enter_context(atomic_folder(self.folder))
            self._files = {
                name: stack.enter_context(GrowingArray(self._partial / f"{name}.npy", dtype, shape))
                for name, (dtype, shape) in rows.items()
            }
            self._files["offsets"].append(np.zeros(1, dtype=np.int64))
            self._stack = stack.pop_all()  # stays open until the writer's own block ends
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)

    def add(
        self,
        species: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike | None = None,
        pbc: ArrayLike | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        """Appends one structure.

        Args:
            species: [N] atomic numbers.
            positions: [N, 3] Å.
            cell: [3, 3] Å, rows are the cell vectors. Ignored where no direction is periodic.
            pbc: [3] bool, which directions are periodic; None for a molecule.
            labels: for each of the writer's properties its value, in the internal unit:
                [*shape], or [N, *shape] for a property of atoms. A structure without a volume
                (a molecule, or fewer than three cell vectors) needs no ``stress``; it becomes NaN.

        Raises:
            ValueError: a wrong shape, no atoms, a label too many or too few, a number that is not
                finite (that one at the latest when the block ends).
        """
        species, positions = np.asarray(species), np.asarray(positions, dtype=np.float64)
        atoms = len(species)
        if species.ndim != 1 or atoms == 0 or positions.shape != (atoms, 3):
            raise ValueError(
                f"structure {self.structures}: expected species [N] and positions [N, 3] with "
                f"N > 0, got {species.shape} and {positions.shape}"
            )
        pbc = np.zeros(3, dtype=np.bool_) if pbc is None else np.asarray(pbc, dtype=np.bool_)
        periodic = bool(pbc.any())
        cell = np.asarray(cell, dtype=np.float64) if periodic else np.zeros((3, 3))
        if cell.shape != (3, 3) or pbc.shape != (3,):
            raise ValueError(
                f"structure {self.structures}: expected pbc [3] and, where one of them is true, "
                f"a cell [3, 3], got shapes {pbc.shape} and {cell.shape}"
            )
        has_volume = periodic and np.linalg.det(cell) != 0
        self._buffer_labels(dict(labels or {}), atoms, has_volume)
        self._species.append(species)
        self._positions.append(positions)
        self._cells.append(cell)
        self._pbc.append(pbc)
        self._any_periodic |= periodic
        self._buffered_atoms += atoms
        self.structures += 1
        if len(self._species) >= FLUSHED_STRUCTURES or self._buffered_atoms >= FLUSHED_ATOMS:
            self._flush()

    def _buffer_labels(self, labels: dict[str, Any], atoms: int, has_volume: bool) -> None:
        if "stress" in self.properties and not has_volume:
            labels["stress"] = np.full((3, 3), np.nan)
        if labels.keys() != self.properties.keys():
            raise ValueError(
                f"structure {self.structures}: expected labels {sorted(self.properties)}, "
                f"got {sorted(labels)}"
            )
        for name, value in labels.items():
            property = self.properties[name]
            value = np.asarray(value, dtype=np.float64)
            expected = (atoms, *property.shape) if property.per == "atom" else property.shape
            if value.shape != expected:
                raise ValueError(
                    f"structure {self.structures}: expected {name} of shape {expected}, "
                    f"got {value.shape}"
                )
            self._labels[name].append(value)

    def _flush(self) -> None:
        if not self._species:
            return
        first = self.structures - len(self._species)
        counts = np.array([len(species) for species in self._species])
        owner = np.repeat(np.arange(first, self.structures), counts)  # structure of each atom
        species = np.concatenate(self._species)
        positions = np.concatenate(self._positions)
        if species.min() < 1 or species.max() >= len(chemical_symbols):
            wrong = (species < 1) | (species >= len(chemical_symbols))
            raise ValueError(
                f"structure {owner[wrong][0]}: expected atomic numbers from 1 to "
                f"{len(chemical_symbols) - 1}, got {species[wrong][0]}"
            )
        _check_finite("positions", positions, owner)
        self._element_counts += np.bincount(species.astype(np.int64), minlength=256)
        self._files["species"].append(species)
        self._files["positions"].append(positions)
        self._files["offsets"].append(self._atoms + np.cumsum(counts))
        self._files["cells"].append(np.array(self._cells, dtype=np.float64))
        self._files["pbc"].append(np.array(self._pbc, dtype=np.bool_))
        for name, values in self._labels.items():
            if self.properties[name].per == "atom":
                rows = np.concatenate(values)
                _check_finite(name, rows, owner)
            else:
                rows = np.array(values, dtype=np.float64)
                if name != "stress":
                    _check_finite(name, rows, np.arange(first, self.structures))
            self._files[f"label-{name}"].append(rows)
        self._atoms += len(species)
        self._clear_buffers()

    def _clear_buffers(self) -> None:
        self._species: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []
        self._cells: list[np.ndarray] = []
        self._pbc: list[np.ndarray] = []
        self._labels: dict[str, list[np.ndarray]] = {name: [] for name in self.properties}
        self._buffered_atoms = 0

    def _finish(self) -> None:
        self._flush()
        if self.structures == 0:
            raise ValueError(f"no structure was added to {self.folder}")
        arrays = {name: file.finish() for name, file in self._files.items()}
        if not self._any_periodic:
            for name in ("cells", "pbc"):
                del arrays[name]
                (self._partial / f"{name}.npy").unlink()
        identity = json.dumps(arrays, sort_keys=True)
        manifest = {
            "format_version": FORMAT_VERSION,
            "molnet": __version__,
            "structures": self.structures,
            "atoms": self._atoms,
            "elements": {
                chemical_symbols[number]: int(self._element_counts[number])
                for number in np.flatnonzero(self._element_counts)
            },
            "checksum": hashlib.sha256(identity.encode()).hexdigest(),
            "properties": {name: asdict(p) for name, p in self.properties.items()},
            "source": self.source,
            "arrays": arrays,
        }
        with writing(self.folder.parent), open(self._partial / "manifest.json", "w") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())


def _check_finite(name: str, rows: np.ndarray, owner: np.ndarray) -> None:
    finite = np.isfinite(rows)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise ValueError(f"structure {owner[row]}: {name} must be finite, got {rows[row]}")


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.is_file():
        raise StoreError(
            f"{path} is not an array store: it has no manifest.json. Expected a folder that "
            "molnet built; delete it if a build was interrupted there."
        )
    try:
        manifest = json.loads(file.read_text())
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file} is damaged ({error}). Delete {path} to build it again."
        ) from error
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, written by molnet {manifest.get('molnet')}; "
            f"this molnet ({__version__}) reads up to {FORMAT_VERSION}. Upgrade molnet, or choose "
            "another cache folder with MOLNET_CACHE or dataset.cache=FOLDER."
        )
    return dict(manifest)
