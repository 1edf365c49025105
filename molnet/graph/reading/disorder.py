"""The errors of disordered structures."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import NoReturn

import numpy as np
from ase import Atoms

from molnet.graph.reading.errors import StructureFileError

FULL = 0.995
"""Occupancies from this value on are one, apart from rounding."""


def refuse_disorder(sites: Sequence[str], place: str) -> NoReturn:
    """Raises the error that names the disordered sites and says what to do."""
    named = ", ".join(sites[:6]) + (f" and {len(sites) - 6} more" if len(sites) > 6 else "")
    raise StructureFileError(
        f"{place} is disordered: {named} (in brackets the alternative and the occupancy). Set "
        "disorder=majority to take the most occupied alternative of each site, or order the "
        "structure yourself."
    )


def refuse_partial_occupancies(atoms: Atoms, place: str) -> None:
    """Refuses a structure that ASE has read from a disordered one, with all of its sites filled.

    ASE keeps the occupancies: of each kind of site in ``info["occupancy"]``, or of each atom in the
    array ``occupancies``.

    Raises:
        StructureFileError: some occupancy is less than one.
    """
    kinds = atoms.info.get("occupancy")
    entries = kinds.values() if isinstance(kinds, Mapping) else ()
    mixed = [
        ", ".join(f"{symbol} {part:g}" for symbol, part in entry.items())
        for entry in entries
        if isinstance(entry, Mapping)
        and all(isinstance(part, Real) for part in entry.values())
        and (len(entry) > 1 or any(part < FULL for part in entry.values()))
    ]
    array = atoms.arrays.get("occupancies")
    if array is not None and array.dtype.kind == "f":
        mixed += [f"atom {i} {array[i]:g}" for i in np.flatnonzero(array < FULL)]
    if mixed:
        raise StructureFileError(
            f"{place} was made from a disordered structure by filling every site: it has the "
            f"occupancies {'; '.join(mixed[:6])}. Read the original file with disorder=majority, "
            "or order the structure yourself and remove the occupancies."
        )
