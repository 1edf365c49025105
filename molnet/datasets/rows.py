"""Structures one by one, as the arrays of a store."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from molnet.datasets.columns import packed
from molnet.graph.columns import Column
from molnet.properties import Property

NO_GROUP = -1


class Rows:
    """Takes in structures and gives them back as arrays.

    Attributes:
        structures: that were taken in, in all.
        waiting: of these, those that :meth:`take` has not given back yet.
        waiting_atoms: the atoms of these.

    Args:
        properties: the properties that every structure is labelled with.
    """

    def __init__(self, properties: Sequence[Property]) -> None:
        self.properties = {property.name: property for property in properties}
        self.structures = 0
        self._clear()

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
        """Takes in one structure; see :meth:`molnet.datasets.store.StoreWriter.add`."""
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
        self._add_labels(dict(labels or {}), atoms, has_volume)
        self._species.append(species)
        self._positions.append(positions)
        self._cells.append(cell)
        self._pbc.append(pbc)
        self._charge.append(charge)
        self._group.append(NO_GROUP if group is None else group)
        self._columns.append(packed(columns))
        self.waiting_atoms += atoms
        self.waiting += 1
        self.structures += 1

    def _add_labels(self, labels: dict[str, Any], atoms: int, has_volume: bool) -> None:
        if "stress" in self.properties and not has_volume:
            labels["stress"] = None
        if labels.keys() != self.properties.keys():
            raise ValueError(
                f"structure {self.structures}: expected labels {sorted(self.properties)}, "
                f"got {sorted(labels)}"
            )
        for name, value in labels.items():
            property = self.properties[name]
            expected = (atoms, *property.shape) if property.per == "atom" else property.shape
            given = value is not None
            if not given:
                value = np.full(expected, np.nan)
            value = np.asarray(value, dtype=np.float64)
            if value.shape != expected:
                raise ValueError(
                    f"structure {self.structures}: expected {name} of shape {expected}, "
                    f"got {value.shape}"
                )
            if given and property.per == "structure":
                _check_finite(name, value[None], np.array([self.structures]))
            self._labels[name].append(value)

    def take(self) -> dict[str, np.ndarray]:
        """The structures since the last time.

        Returns:
            The arrays of a store (see :mod:`molnet.datasets.store`) by name, but for ``offsets``
            and ``column-offsets``: ``counts`` and ``column-counts`` are the numbers of atoms and
            of bytes of each structure.

        Raises:
            ValueError: an atomic number that no element has, or a number that is not finite.
        """
        first = self.structures - self.waiting
        counts = np.array([len(species) for species in self._species], dtype=np.int64)
        owner = np.repeat(np.arange(first, self.structures), counts)  # structure of each atom
        species = _joined(self._species, (), np.int64)
        if len(species) and (species.min() < 1 or species.max() >= len(chemical_symbols)):
            wrong = (species < 1) | (species >= len(chemical_symbols))
            raise ValueError(
                f"structure {owner[wrong][0]}: expected atomic numbers from 1 to "
                f"{len(chemical_symbols) - 1}, got {species[wrong][0]}"
            )
        positions = _joined(self._positions, (3,), np.float64)
        _check_finite("positions", positions, owner)
        arrays: dict[str, np.ndarray] = {
            "counts": counts,
            "species": species.astype(np.uint8),
            "positions": positions,
            "cells": np.array(self._cells, dtype=np.float64).reshape(-1, 3, 3),
            "pbc": np.array(self._pbc, dtype=np.bool_).reshape(-1, 3),
            "charge": np.array(self._charge, dtype=np.int32),
            "group": np.array(self._group, dtype=np.int32),
            "columns": np.frombuffer(b"".join(self._columns), dtype=np.uint8),
            "column-counts": np.array([len(text) for text in self._columns], dtype=np.int64),
        }
        for name, values in self._labels.items():
            property = self.properties[name]
            if property.per == "atom":
                rows, of_row = _joined(values, property.shape, np.float64), owner
            else:
                rows = np.array(values, dtype=np.float64).reshape(-1, *property.shape)
                of_row = np.arange(first, self.structures)
            _check_finite(name, rows, of_row, or_missing=True)
            arrays[f"label-{name}"] = rows
        self._clear()
        return arrays

    def _clear(self) -> None:
        self._species: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []
        self._cells: list[np.ndarray] = []
        self._pbc: list[np.ndarray] = []
        self._charge: list[int] = []
        self._group: list[int] = []
        self._columns: list[bytes] = []
        self._labels: dict[str, list[np.ndarray]] = {name: [] for name in self.properties}
        self.waiting = 0
        self.waiting_atoms = 0


def _joined(
    parts: list[np.ndarray], row: tuple[int, ...], dtype: np.typing.DTypeLike
) -> np.ndarray:
    return np.concatenate([np.empty((0, *row), dtype), *parts])


def _check_finite(name: str, rows: np.ndarray, owner: np.ndarray, or_missing: bool = False) -> None:
    finite = np.isfinite(rows)
    if or_missing:
        finite |= np.isnan(rows).all(axis=tuple(range(1, rows.ndim)), keepdims=True)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise ValueError(f"structure {owner[row]}: {name} must be finite, got {rows[row]}")
