"""The on-disk form of every data set: flat, memory-mapped arrays and a JSON manifest.

A store is a folder with one ``.npy`` file for each array and ``manifest.json``. The atoms of all n
structures stand one after the other; structure i owns rows ``offsets[i]:offsets[i + 1]``:

==================  ================  ===========================================================
``positions``       [ΣN, 3] float64   Å
``species``         [ΣN] uint8        atomic numbers
``offsets``         [n + 1] int64
``cells``           [n, 3, 3] float64 rows are the cell vectors, Å; only with periodic structures
``pbc``             [n, 3] bool       only with periodic structures
``charge``          [n] int32         total charges in e; only where one is not zero
``group``           [n] int32         structures of one number stay in one part of a split
``columns``         [bytes] uint8     numbers and words by name, one JSON object a structure
``column-offsets``  [n + 1] int64     structure i owns the bytes ``[i]:[i + 1]`` of ``columns``
``label-NAME``      float64           [n, *shape] or [ΣN, *shape], in the property's internal unit
==================  ================  ===========================================================

Nothing is pickled, nothing is loaded before it is indexed, and a store may be far larger than
memory. Forked worker processes share the pages; spawned ones map the files again. The arrays are
compared with their checksums on first use, see :mod:`molnet.datasets.verification`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from molnet import __version__
from molnet.datasets import verification
from molnet.datasets.arrays import GrowingArray, open_array
from molnet.datasets.cache import atomic_folder, writing
from molnet.datasets.columns import unpacked
from molnet.datasets.edges import EdgeTable, open_edges
from molnet.datasets.manifest import (
    CHARGED,
    COLUMNS,
    FORMAT_VERSION,
    GROUPED,
    PERIODIC,
    arrays_of,
    damage_explained,
    elements_of,
    identity_of,
    layout,
    properties_of,
    read_manifest,
)
from molnet.datasets.manifest import StoreError as StoreError
from molnet.datasets.rows import NO_GROUP, Rows
from molnet.graph.columns import Column
from molnet.properties import Property
from molnet.stored import sealed

FLUSHED_STRUCTURES = 4096
FLUSHED_ATOMS = 200_000


class ArrayStore:
    """A data set on disk; :meth:`open` opens it for reading.

    Attributes:
        path: the folder.
        manifest: what ``manifest.json`` says: counts, units, source, checksum.
        positions: [ΣN, 3] float64, Å.
        species: [ΣN] uint8, atomic numbers.
        offsets: [n + 1] int64; structure i owns the atoms ``offsets[i]:offsets[i + 1]``.
        cells: [n, 3, 3] float64, Å, zeros for molecules; None when no structure is periodic.
        pbc: [n, 3] bool; None when no structure is periodic.
        charge: [n] int32, total charges in e; None when all are zero.
        group: [n] int32, the group of each structure; None without groups.
        labels: for each property [n, *shape] or [ΣN, *shape], float64, internal units. A missing
            label is NaN.
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
        self.charge = arrays.get("charge")
        self.group = arrays.get("group")
        self._columns = arrays.get("columns")
        self._column_offsets = arrays.get("column-offsets")
        self.properties = properties_of(manifest)
        self.labels = {name: arrays[f"label-{name}"] for name in self.properties}
        self._verifies = False
        self._verified: set[float] = set()  # cutoffs whose edges need no other look

    @classmethod
    def open(cls, path: str | Path, verify: bool = False) -> "ArrayStore":
        """Opens a store and verifies its arrays.

        Checksums are compared when the store is opened for the first time, and again when a file
        has changed (see :mod:`molnet.datasets.verification`). Otherwise only the manifest and the
        headers of the arrays are read.

        Args:
            path: the folder.
            verify: compare all checksums in any case, those of edge tables too.

        Raises:
            StoreError: the folder is not a whole store of the version that is known here.
        """
        path = Path(path)
        with damage_explained(path):
            store = cls._mapped(path)
            arrays = store._arrays()
            verification.verify(path, store.manifest, arrays, store._check, always=verify)
        store._verifies = verify
        return store

    @classmethod
    def _mapped(cls, path: Path) -> "ArrayStore":
        """A store opened without verification; for another process of the same program."""
        with damage_explained(path):
            manifest = read_manifest(path)
            arrays = {
                name: open_array(path / f"{name}.npy", dtype, shape)
                for name, (dtype, shape) in arrays_of(manifest, properties_of(manifest)).items()
            }
            return cls(path, manifest, arrays)

    def _arrays(self) -> dict[str, np.ndarray]:
        """Every array under the name of its file."""
        known = {
            "positions": self.positions,
            "species": self.species,
            "offsets": self.offsets,
            "cells": self.cells,
            "pbc": self.pbc,
            "charge": self.charge,
            "group": self.group,
            "columns": self._columns,
            "column-offsets": self._column_offsets,
            **{f"label-{name}": values for name, values in self.labels.items()},
        }
        return {name: array for name, array in known.items() if array is not None}

    def _check(self) -> None:
        """Checks what :class:`StoreWriter` guarantees, as another program may have written it."""
        if self.checksum != identity_of(self.manifest["arrays"]):
            raise ValueError("manifest.json: the checksum is not that of the arrays")
        verification.check_offsets(self.offsets, len(self.species), least=1)
        if self._columns is not None and self._column_offsets is not None:
            total = len(self._columns)
            verification.check_offsets(self._column_offsets, total, 0, "column-offsets")
        counts = verification.count_species(self.species)
        if (
            counts[0]
            or self.elements != elements_of(counts)
            or sum(self.elements.values()) != len(self.species)
        ):
            raise ValueError("species.npy: the elements are not those in manifest.json")
        if self.pbc is not None and (self.pbc.view(np.uint8) > 1).any():
            raise ValueError("pbc.npy: expected zeros and ones")
        for name, array in self._arrays().items():
            if array.dtype == np.float64:
                verification.check_finite(name, array, or_nan=name.startswith("label-"))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayStore._mapped, (self.path,)  # a copy in another process maps the same files

    def __repr__(self) -> str:
        return (
            f"ArrayStore({str(self.path)!r}: {len(self):,} structures, {len(self.species):,} "
            f"atoms, labels: {', '.join(self.labels) or 'none'})"
        )

    @property
    def checksum(self) -> str:
        """SHA-256 over the contents of all arrays but columns: the identity of the data set."""
        return str(self.manifest["checksum"])

    @property
    def structures_checksum(self) -> str:
        """The same over atoms, positions and cells alone: other labels do not change it."""
        arrays = self.manifest["arrays"]
        names = ("species", "positions", "offsets", *PERIODIC)
        return identity_of({name: arrays[name] for name in names if name in arrays})

    @property
    def elements(self) -> dict[str, int]:
        """The number of atoms of each element, by symbol, in order of atomic number."""
        return dict(self.manifest["elements"])

    def columns(self, index: int) -> dict[str, Column]:
        """What the source says of a structure beside atoms and labels, numbers and words by name.

        Raises:
            StoreError: the store is damaged.
        """
        if self._columns is None or self._column_offsets is None:
            return {}
        start, end = self._column_offsets[index : index + 2].tolist()
        with damage_explained(self.path):
            return unpacked(self._columns[start:end])

    def edges(self, cutoff: float) -> EdgeTable:
        """All pairs closer than ``cutoff`` Å; found once, then kept in the store's folder.

        Raises:
            ValueError: see :func:`molnet.datasets.edges.open_edges`.
        """
        cutoff = float(cutoff)
        table = open_edges(self, cutoff, self._verifies and cutoff not in self._verified)
        self._verified.add(cutoff)
        return table


class StoreWriter:
    """Builds a store structure by structure in constant memory.

    Use it as a context manager. The folder appears in one step when the block ends; an exception
    leaves nothing behind. A folder that another process has made in the meantime is kept.

    Example::

        with StoreWriter(folder, [get_property("energy")], source={"files": [...]}) as writer:
            for atoms in frames:
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
        self._rows = Rows(properties)
        self._atoms = 0
        self._any_periodic = False
        self._any_charged = False
        self._any_grouped = False
        self._column_bytes = 0
        self._element_counts = np.zeros(256, dtype=np.int64)

    def __enter__(self) -> Self:
        arrays = layout(0, 0, self.properties.values())
        with ExitStack() as stack:
            self._partial = stack.enter_context(atomic_folder(self.folder))
            self._files = {
                name: stack.enter_context(
                    GrowingArray(self._partial / f"{name}.npy", dtype, tuple(rows))
                )
                for name, (dtype, (_, *rows)) in arrays.items()
            }
            for name in ("offsets", "column-offsets"):
                self._files[name].append(np.zeros(1, dtype=np.int64))
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
        charge: int = 0,
        group: int | None = None,
        columns: Mapping[str, Column] | None = None,
    ) -> None:
        """Appends one structure.

        Args:
            species: [N] atomic numbers.
            positions: [N, 3] Å.
            cell: [3, 3] Å, rows are the cell vectors. Ignored where no direction is periodic.
            pbc: [3] bool, which directions are periodic; None for a molecule.
            labels: for each of the writer's properties its value, in the internal unit:
                [*shape], or [N, *shape] for a property of atoms. None for a label that is missing;
                a row that is all NaN for one that is missing for an atom. A structure without a
                volume (a molecule, or fewer than three cell vectors) needs no ``stress``.
            charge: the total charge in e.
            group: structures of one number stay in one part of a split; for all structures, or
                for none.
            columns: numbers and words by name that travel with the structure, such as the
                ``config_type``; see :meth:`ArrayStore.columns`.

        Raises:
            ValueError: a wrong shape, no atoms, a label too many or too few, a number that is not
                finite (that one at the latest when the block ends).
        """
        self._rows.add(species, positions, cell, pbc, labels, charge, group, columns)
        self.structures += 1
        if self._rows.waiting >= FLUSHED_STRUCTURES or self._rows.waiting_atoms >= FLUSHED_ATOMS:
            self._append(self._rows.take())

    def extend(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Appends structures that :class:`molnet.datasets.rows.Rows` has made arrays of."""
        self._append(self._rows.take())
        self.structures += len(arrays["counts"])
        self._append(arrays)

    def _append(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, rows in arrays.items():
            if name in self._files:
                self._files[name].append(rows)
        self._files["offsets"].append(self._atoms + np.cumsum(arrays["counts"]))
        ends = self._column_bytes + np.cumsum(arrays["column-counts"])
        self._files["column-offsets"].append(ends)
        self._atoms += len(arrays["species"])
        self._column_bytes += len(arrays["columns"])
        self._any_periodic |= bool(arrays["pbc"].any())
        self._any_charged |= bool(arrays["charge"].any())
        self._any_grouped |= bool((arrays["group"] != NO_GROUP).any())
        self._element_counts += np.bincount(arrays["species"], minlength=256)

    def _finish(self) -> None:
        self._append(self._rows.take())
        if self.structures == 0:
            raise ValueError(f"no structure was added to {self.folder}")
        arrays = {name: file.finish() for name, file in self._files.items()}
        for names, used in (
            (PERIODIC, self._any_periodic),
            (CHARGED, self._any_charged),
            (GROUPED, self._any_grouped),
            (COLUMNS, self._column_bytes > 0),
        ):
            for name in () if used else names:
                del arrays[name]
                (self._partial / f"{name}.npy").unlink()
        manifest = {
            "format_version": FORMAT_VERSION,
            "molnet": __version__,
            "structures": self.structures,
            "atoms": self._atoms,
            "column_bytes": self._column_bytes,
            "elements": elements_of(self._element_counts),
            "checksum": identity_of(arrays),
            "properties": {name: asdict(p) for name, p in self.properties.items()},
            "source": self.source,
            "arrays": arrays,
        }
        with writing(self.folder.parent), open(self._partial / "manifest.json", "w") as file:
            json.dump(sealed(manifest), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
