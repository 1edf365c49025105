"""Frames of structure files, one after the other, with errors that name file and frame."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from molnet.graph.elements import SYMBOLS
from molnet.graph.reading.arrays import read_hdf5, read_npz
from molnet.graph.reading.blocks import read_gens, read_poscars
from molnet.graph.reading.by_ase import read_by_ase
from molnet.graph.reading.cif import read_cif
from molnet.graph.reading.database import read_database
from molnet.graph.reading.disorder import refuse_partial_occupancies
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.formats import DATABASES, format_of
from molnet.graph.reading.gromacs import read_g96, read_gro
from molnet.graph.reading.lammps import read_binary_dump, read_data, read_dump
from molnet.graph.reading.mdl import read_sdf
from molnet.graph.reading.options import DEFAULTS, ReadingOptions
from molnet.graph.reading.pdb import read_pdb
from molnet.graph.reading.shelx import read_res
from molnet.graph.reading.text import OPENERS
from molnet.graph.reading.units import declared_units, positions_factor, scale_positions
from molnet.graph.reading.xyz import FrameRange, count_xyz_frames, read_xyz_frames, xyz_ranges
from molnet.inputs import resolve_paths

__all__ = [
    "DEFAULTS",
    "FrameRange",
    "ReadingOptions",
    "StructureFileError",
    "check_ending",
    "count_frames",
    "frame_name",
    "frame_ranges",
    "read_frames",
    "resolve_paths",
    "units_in_files",
]

READERS = {
    "extxyz": read_xyz_frames,
    "xyz": read_xyz_frames,
    "sdf": read_sdf,
    "mol": read_sdf,
    "vasp": read_poscars,
    "gen": read_gens,
    "gromacs": read_gro,
    "gromos": read_g96,
    "proteindatabank": read_pdb,
    "cif": read_cif,
    "res": read_res,
    "lammps-dump-text": read_dump,
    "lammps-dump-binary": read_binary_dump,
    "lammps-data": read_data,
    "npz": read_npz,
    "hdf5": read_hdf5,
}
"""Formats with readers of their own; all others are left to ASE."""

XYZ_FORMATS = ("extxyz", "xyz")


def read_frames(
    path: Path, options: ReadingOptions = DEFAULTS, part: FrameRange | None = None
) -> Iterator[Atoms]:
    """The structures of any file that ASE reads, one at a time.

    Nothing is skipped silently, and nothing is invented: a file of several structures gives all of
    them or an error, and a type or name of an atom becomes an element only if there is no other
    reading. Rows of ASE databases have their key-value pairs and data in ``info``.

    Args:
        path: of one file.
        options: what the user states about the files.
        part: only these frames; one of :func:`frame_ranges`.

    Raises:
        StructureFileError: the file's format is not known, it ends within a frame, a frame cannot
            be read or has atoms that are no elements, or there is none.
    """
    format = format_of(path, options)
    factor = positions_factor(path, format, options.positions_unit)
    reader = _reader(path, format, options, part)
    frame = first = 0 if part is None else part.first
    while True:
        try:
            atoms = next(reader)
        except StopIteration:
            break
        except StructureFileError:
            raise
        # ASE's eighty readers fail with errors of any kind; none is swallowed.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else "it has another form"
            if isinstance(error.__cause__, StopIteration):
                reason = "it ends before the structure does"
            raise StructureFileError(
                f"{frame_name(path, frame)} cannot be read as {format}: {reason}. Repair the file, "
                "leave this frame out, or name another format=..."
            ) from error
        _check_elements(atoms, frame_name(path, frame))
        refuse_partial_occupancies(atoms, frame_name(path, frame))
        yield scale_positions(atoms, factor)
        frame += 1
    if frame == first:
        raise StructureFileError(f"{path} holds no structure. Expected at least one.")


def count_frames(path: Path, options: ReadingOptions = DEFAULTS) -> int | None:
    """How many structures an XYZ file holds; None for other formats, which cannot be counted.

    Raises:
        StructureFileError: the file ends within a frame, or has a line out of place.
    """
    return count_xyz_frames(path) if format_of(path, options) in XYZ_FORMATS else None


def frame_ranges(
    path: Path, size: int, options: ReadingOptions = DEFAULTS
) -> list[FrameRange] | None:
    """The frames of a file in parts that can be read one without the others.

    Args:
        path: of the file.
        size: bytes of a part; the last may have fewer.
        options: what the user states about the file.

    Returns:
        The parts of an XYZ file; None for a compressed one and for other formats, which are read
        from their beginning.

    Raises:
        StructureFileError: the file ends within a frame, or has a line out of place.
    """
    return xyz_ranges(path, size) if format_of(path, options) in XYZ_FORMATS else None


def check_ending(path: Path, options: ReadingOptions = DEFAULTS) -> None:
    """Refuses an XYZ file whose last line is not ended: it may have been cut within a number.

    Raises:
        StructureFileError: when the last byte is not a line end.
    """
    if format_of(path, options) not in XYZ_FORMATS or path.suffix.lower() in OPENERS:
        return  # a cut compressed file fails by itself
    with open(path, "rb") as file:
        file.seek(-min(2, path.stat().st_size), io.SEEK_END)
        last = file.read()
        if not last.endswith((b"\n", b"\r", b"\n\0")):  # the third is UTF-16's
            raise StructureFileError(
                f"{path} does not end with a line end, so it may have been cut within its last "
                "number. Fetch or write it again; if it is complete, add an empty line at the end."
            )


def units_in_files(
    path: str | Path | Iterable[str | Path], options: ReadingOptions = DEFAULTS
) -> dict[str, str]:
    """The units that files declare for labels, by their keys.

    Raises:
        StructureFileError: two files declare different units for the same label.
    """
    declared: dict[str, str] = {}
    for file in resolve_paths(path):
        for key, unit in declared_units(file, format_of(file, options)).items():
            if key != "positions" and declared.setdefault(key, unit) != unit:
                raise StructureFileError(
                    f"{file} declares the unit {unit!r} for {key!r}, but the files before it "
                    f"{declared[key]!r}. Read these files separately."
                )
    return declared


def _reader(
    path: Path, format: str, options: ReadingOptions, part: FrameRange | None
) -> Iterator[Atoms]:
    if part is not None:
        return read_xyz_frames(path, options, part)
    if format in DATABASES:
        return read_database(path, format)
    if format in READERS:
        return READERS[format](path, options)
    return read_by_ase(path, format, options)


def _check_elements(atoms: Atoms, place: str) -> None:
    wrong = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers >= len(SYMBOLS)))
    if len(wrong):
        number = int(atoms.numbers[wrong[0]])
        raise StructureFileError(
            f"{place}: atom {wrong[0]} (counted from 0) is no element: its atomic number is "
            f"{number}{' (symbol X)' if number == 0 else ''}, expected 1 to {len(SYMBOLS) - 1}. "
            "Correct this frame or leave it out."
        )
