"""ASE databases, and the units that SchNetPack declares in them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ase.db
from ase import Atoms

from molnet.graph.reading.errors import StructureFileError


def read_database(path: Path) -> Iterator[Atoms]:
    """Every row, with its key-value pairs and data in ``info``."""
    with ase.db.connect(path, serial=True) as database:
        for row in database.select():
            atoms = row.toatoms(add_additional_information=True)
            for group in ("key_value_pairs", "data"):
                atoms.info.update(atoms.info.pop(group, {}))
            yield atoms


def units_of_database(path: Path) -> dict[str, str]:
    """The units that the metadata declare: of ``"positions"``, and of each property.

    SchNetPack writes them as ``_distance_unit`` and ``_property_unit_dict``.

    Raises:
        StructureFileError: they have another form.
    """
    with ase.db.connect(path, serial=True) as database:
        metadata: Mapping[str, Any] = database.metadata
    units = metadata.get("_property_unit_dict") or {}
    if not isinstance(units, Mapping):
        raise StructureFileError(
            f"{path}: expected _property_unit_dict {{NAME: UNIT}} in the metadata, got {units!r}"
        )
    declared = {str(name): str(unit) for name, unit in units.items() if unit}
    if metadata.get("_distance_unit"):
        declared["positions"] = str(metadata["_distance_unit"])
    return declared
