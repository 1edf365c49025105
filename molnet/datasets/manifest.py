"""``manifest.json`` of a store: its content, and the checks of what it states."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from molnet import __version__
from molnet.properties import Property
from molnet.stored import check_seal, read_object, text_checksum
from molnet.units import conversion_factor

FORMAT_VERSION = 4
PERIODIC = ("cells", "pbc")
"""Arrays of stores in which some structure is periodic."""

CHARGED = ("charge",)
"""Likewise where some structure has a total charge."""

GROUPED = ("group",)
"""Likewise where structures belong to groups."""

COLUMNS = ("columns", "column-offsets")
"""Likewise where files say more of their structures than atoms and labels."""

COUNTS = ("structures", "atoms")
KEYS = {entry.name for entry in fields_of(Property)}


class StoreError(ValueError):
    """A folder is not a store, is damaged or incomplete, or is of another version."""


def layout(
    structures: int, atoms: int, properties: Iterable[Property], column_bytes: int = 0
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """The type and shape of each array of a store by name."""
    arrays: dict[str, tuple[type, tuple[int, ...]]] = {
        "positions": (np.float64, (atoms, 3)),
        "species": (np.uint8, (atoms,)),
        "offsets": (np.int64, (structures + 1,)),
        "cells": (np.float64, (structures, 3, 3)),
        "pbc": (np.bool_, (structures, 3)),
        "charge": (np.int32, (structures,)),
        "group": (np.int32, (structures,)),
        "columns": (np.uint8, (column_bytes,)),
        "column-offsets": (np.int64, (structures + 1,)),
    }
    for entry in properties:
        rows = atoms if entry.per == "atom" else structures
        arrays[f"label-{entry.name}"] = (np.float64, (rows, *entry.shape))
    return {name: (np.dtype(dtype), shape) for name, (dtype, shape) in arrays.items()}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the store in the folder ``path``, with its own hash compared.

    Raises:
        StoreError: there is none, or it is of another version.
        ValueError: it is damaged.
    """
    file = path / "manifest.json"
    if not file.is_file():
        raise StoreError(
            f"{path} is not an array store: it has no manifest.json. Expected a folder that "
            "molnet built; delete it if a build was interrupted there."
        )
    manifest = read_object(file)
    version = manifest.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, written by molnet {manifest.get('molnet')}; "
            f"this molnet ({__version__}) reads {FORMAT_VERSION}. Upgrade molnet, or choose "
            "another cache folder with MOLNET_CACHE or dataset.cache=FOLDER."
        )
    if isinstance(version, int) and version < FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, written by an older molnet; this one "
            f"({__version__}) reads {FORMAT_VERSION}. Delete this folder; it is built again from "
            "its source."
        )
    check_seal(manifest, file.name)
    return manifest


def properties_of(manifest: Mapping[str, Any]) -> dict[str, Property]:
    """The labelled properties by name.

    Raises:
        ValueError, KeyError, TypeError: an entry does not describe a property.
    """
    properties = {}
    for name, fields in manifest["properties"].items():
        if fields.keys() != KEYS or type(fields["extensive"]) is not bool:
            raise ValueError(f"manifest.json describes no property: {fields}")
        entry = Property(**(fields | {"shape": tuple(fields["shape"])}))
        sizes = [_count(f"the shape of {name}", size) for size in entry.shape]
        if entry.name != name or entry.per not in ("atom", "structure") or len(sizes) > 4:
            raise ValueError(f"manifest.json describes no property: {entry}")
        if "/" in name or "\\" in name:
            raise ValueError(f"manifest.json names a property {name!r}, which is no file's name")
        conversion_factor(entry.unit, entry.shown_in)  # raises if a unit is unknown
        properties[name] = entry
    return properties


def arrays_of(
    manifest: Mapping[str, Any], properties: Mapping[str, Property]
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """The type and shape of each array that the manifest lists.

    Raises:
        ValueError, KeyError, TypeError: the arrays do not fit the numbers of structures and atoms.
    """
    structures, atoms = (_count(name, manifest[name]) for name in COUNTS)
    listed = manifest["arrays"]
    column_bytes = _count("column_bytes", manifest["column_bytes"]) if "columns" in listed else 0
    arrays = layout(structures, atoms, properties.values(), column_bytes)
    for group in (PERIODIC, CHARGED, GROUPED, COLUMNS):
        if not set(group) & listed.keys():
            arrays = {name: entry for name, entry in arrays.items() if name not in group}
    if listed.keys() != arrays.keys():
        raise ValueError(
            f"manifest.json lists the arrays {sorted(listed)}, expected {sorted(arrays)}"
        )
    for name, (dtype, shape) in arrays.items():
        entry = listed[name]
        if entry["dtype"] != dtype.str or entry["shape"] != list(shape):
            raise ValueError(
                f"manifest.json: expected {name} to be {list(shape)} of {dtype.str}, got "
                f"{entry['shape']} of {entry['dtype']}"
            )
    return arrays


def origin_of(manifest: Mapping[str, Any], index: int, path: Path) -> str:
    """How messages name a structure: by file and frame if the manifest has them."""
    files = manifest["source"].get("files", [])
    if not all(isinstance(file, Mapping) and "frames" in file for file in files):
        return f"structure {index} of {path}"
    rest = index
    for file in files:
        left_out = file.get("left_out", [])
        count = file["frames"] - len(left_out)
        if rest < count:
            kept = np.delete(np.arange(file["frames"]), left_out)
            return f"{file['path']}, frame {kept[rest]}"
        rest -= count
    if not files:
        return f"structure {index} of {path}"
    raise IndexError(f"{path} has {manifest['structures']} structures, and none at {index}")


def parts_of_files(manifest: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Structures of the parts of a split that have files of their own, by the part's name.

    They come last, in the order in which ``source`` has the ``parts`` with their sizes.
    """
    sizes: dict[str, int] = manifest["source"].get("parts", {})
    ends = manifest["structures"] - sum(sizes.values()) + np.cumsum([0, *sizes.values()])
    return {name: np.arange(*ends[i : i + 2]) for i, name in enumerate(sizes)}


def identity_of(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over the manifest's entries of the arrays; columns change no training or split."""
    counted = {name: entry for name, entry in arrays.items() if name not in COLUMNS}
    return text_checksum(json.dumps(counted, sort_keys=True))


def elements_of(counts: np.ndarray) -> dict[str, int]:
    """The number of atoms [256] by atomic number as a dictionary by symbol."""
    return {
        symbol: int(count)
        for symbol, count in zip(chemical_symbols, counts[: len(chemical_symbols)], strict=True)
        if count
    }


@contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Within this block, errors about a store's folder become a StoreError that says what to do."""
    try:
        yield
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the array store {path} is damaged: {error}. Delete this folder; it is built again "
            "from its source."
        ) from error


def _count(name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**40:
        raise ValueError(f"manifest.json: expected {name} to be a positive number, got {value!r}")
    return int(value)
