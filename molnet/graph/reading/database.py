"""ASE databases, and the units that SchNetPack declares in them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ase.db
from ase import Atoms

from molnet.graph.reading.errors import StructureFileError


def connect(path: Path, format: str) -> Any:
    """ASE's database in a file, whatever its suffix.

    Raises:
        StructureFileError: the package for this kind of database is not installed.
    """
    try:
        return ase.db.connect(str(path), type=format, serial=True)
    except (ImportError, ValueError) as error:  # ValueError: ASE does not know the kind
        raise StructureFileError(
            f"{path} is a database of the kind {format}: pip install ase-db-backends, or "
            'pip install "molnet[lmdb]".'
        ) from error


def read_database(path: Path, format: str) -> Iterator[Atoms]:
    """Every row, with its key-value pairs and data in ``info``."""
    with connect(path, format) as database:
        for row in database.select():
            atoms = row.toatoms(add_additional_information=True)
            for group in ("key_value_pairs", "data"):
                atoms.info.update(atoms.info.pop(group, {}))
            yield atoms


def units_of_database(path: Path, format: str) -> dict[str, str]:
    """The units that the metadata declare: of ``"positions"``, and of each property.

    SchNetPack writes them as ``_distance_unit`` and ``_property_unit_dict``; both are known without
    the underscore, too.

    Raises:
        StructureFileError: they have another form, or the file is no database.
    """
    try:
        with connect(path, format) as database:
            metadata: Mapping[str, Any] = database.metadata
    # Databases fail with errors of any kind, such as sqlite's and JSON's.
    except Exception as error:
        raise StructureFileError(
            f"{path} cannot be read as {format}: {type(error).__name__}: {error}. Fetch or write "
            "it again, or name its format with format=..."
        ) from error
    units = metadata.get("_property_unit_dict") or metadata.get("property_unit_dict") or {}
    if not isinstance(units, Mapping):
        raise StructureFileError(
            f"{path}: expected _property_unit_dict {{NAME: UNIT}} in the metadata, got {units!r}"
        )
    declared = {str(name): str(unit) for name, unit in units.items() if unit}
    if distance := metadata.get("_distance_unit") or metadata.get("distance_unit"):
        declared["positions"] = str(distance)
    return declared
