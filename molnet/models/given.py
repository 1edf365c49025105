"""What a user gives to a model: structures of ASE, or the names of files that hold them."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from molnet.graph import drop_placeholder_cell
from molnet.graph.structure import Atoms


class Given(NamedTuple):
    """Structures, and how messages name each of them by its place."""

    structures: list[Atoms]
    name_of: Callable[[int], str]
    from_files: bool


def numbered(place: int) -> str:
    """How messages name a structure that has no file."""
    return f"structure {place}"


def structures_given(given: Iterable[Atoms] | Iterable[str | Path] | str | Path) -> Given:
    """The structures of a list, or all structures of one or several files.

    Args:
        given: structures; or the name of a file that ASE reads, a glob such as ``runs/*.xyz``, or
            several of these.

    Raises:
        TypeError: it is something else.
        FileNotFoundError: there is no such file; the message names the nearest one.
        StructureFileError: a file cannot be read; the message has file and frame.
    """
    if isinstance(given, str | Path):
        return _read([given])
    entries = list(given) if isinstance(given, Iterable) else [given]
    if entries and all(isinstance(entry, str | Path) for entry in entries):
        return _read(entries)
    for place, entry in enumerate(entries):
        if not isinstance(entry, Atoms):
            raise TypeError(
                "expected ASE's Atoms, a list of them, or the name of a file, received "
                f"{type(entry).__module__}.{type(entry).__qualname__} in place {place}"
            )
    return Given(entries, numbered, from_files=False)


def _read(names: list[str | Path]) -> Given:
    # Imported here: the readers of files take time, and who gives structures does without them.
    from molnet.graph.frames import frame_name, read_frames, resolve_paths

    structures: list[Atoms] = []
    places: list[str] = []
    for file in resolve_paths(names):
        told = False
        for frame, atoms in enumerate(read_frames(file)):
            place = frame_name(file, frame)
            note = drop_placeholder_cell(atoms, file)
            if note and not told:
                warnings.warn(f"{place}: {note}", stacklevel=4)
                told = True
            structures.append(atoms)
            places.append(place)
    return Given(structures, places.__getitem__, from_files=True)
