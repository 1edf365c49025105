"""The format of a structure file: from the user, else from its suffix, its name or its content."""

import re
from pathlib import Path

from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from molnet.graph.reading.errors import StructureFileError
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.text import decompressing, open_text, without_compression
from molnet.nearest import hint

SUFFIXES = {
    "xyz": "extxyz",
    "extxyz": "extxyz",
    "exyz": "extxyz",
    "traj": "traj",
    "db": "db",
    "cif": "cif",
    "pdb": "proteindatabank",
    "ent": "proteindatabank",
    "sdf": "sdf",
    "sd": "sdf",
    "mol": "mol",
    "poscar": "vasp",
    "contcar": "vasp",
    "vasp": "vasp",
    "gen": "gen",
    "gro": "gromacs",
    "g96": "gromos",
    "xsf": "xsf",
    "cube": "cube",
    "pwi": "espresso-in",
    "lammpstrj": "lammps-dump-text",
    "lmp": "lammps-data",
    "cell": "castep-cell",
    "res": "res",
    "shelx": "res",
    "car": "dmol-car",
    "arc": "dmol-arc",
    "gjf": "gaussian-in",
    "xsd": "xsd",
    "xtd": "xtd",
    "npz": "npz",
    "h5": "hdf5",
    "hdf5": "hdf5",
    "aselmdb": "aselmdb",
}
"""The formats that a suffix stands for, whatever the file's name and content look like."""

ALIASES = {"xyz": "extxyz", "pdb": "proteindatabank", "poscar": "vasp", "lammps": "lammps-data"}
"""Other names of formats, beside ASE's own."""

COMMON = ("extxyz", "cif", "vasp", "proteindatabank", "sdf", "gen", "traj", "db", "npz", "hdf5")
"""Formats that messages name."""

LOOKED_AT = 4000
"""Characters of a file that show its format."""

DATABASES = ("db", "json", "aselmdb")
BEYOND_ASE = ("npz", "hdf5", "aselmdb")
"""Formats that are read without a reader of ASE, or with one of a package beside ASE."""


def format_of(path: Path, options: ReadingOptions) -> str:
    """ASE's name of a file's format.

    Raises:
        StructureFileError: there is no such format, or the file does not show which one it has.
    """
    if options.format is not None:
        return known_format(options.format)
    name = without_compression(path)
    suffix = Path(name).suffix.lower().removeprefix(".")
    format = SUFFIXES.get(suffix) or _by_content(path)
    if format is None:
        try:
            with decompressing(path):
                format = str(filetype(str(path)))
        except UnknownFileTypeError:
            pass
    if not is_readable(format):
        raise StructureFileError(
            f"molnet does not recognise the format of {path}. Name it with format=NAME, or give "
            f"the file the suffix of its format. {_formats()}"
        )
    return str(format)


def known_format(name: str) -> str:
    """ASE's name of the format that a user named.

    Raises:
        StructureFileError: there is none; the message holds the nearest name.
    """
    plain = name.lower().removeprefix(".")
    for format in (ALIASES.get(plain), plain, SUFFIXES.get(plain)):
        if is_readable(format):
            return str(format)
    meant = hint(plain, [*readable(), *ALIASES, *SUFFIXES])
    raise StructureFileError(f"unknown format={name}.{meant} {_formats()}")


def is_readable(format: str | None) -> bool:
    """Whether ASE reads a format of this name. This imports the reader of that format alone."""
    return format in BEYOND_ASE or (format in ioformats and ioformats[format].can_read)


def readable() -> list[str]:
    """The names of all formats that can be read."""
    return sorted([*filter(is_readable, ioformats), *BEYOND_ASE])


def _formats() -> str:
    return f"Formats: {', '.join(COMMON)}, and {len(readable()) - len(COMMON)} more."


def _by_content(path: Path) -> str | None:
    """The format, if the first lines identify it without doubt."""
    with decompressing(path), open_text(path) as file:
        try:
            lines = [line.strip() for line in file.read(LOOKED_AT).splitlines()]
        except UnicodeError:
            return None
    if lines and lines[0].startswith(("ITEM: TIMESTEP", "ITEM: UNITS")):
        return "lammps-dump-text"
    if len(lines) > 3 and re.search(r"V[23]000$", lines[3]):
        return "sdf"
    if any(re.fullmatch(r"\d+\s+atom types", line.split("#")[0].strip()) for line in lines):
        return "lammps-data"
    if len(lines) > 2 and lines[0].isdecimal() and _XYZ_ROW.match(lines[2]):
        return "extxyz"
    return None


_XYZ_ROW = re.compile(r"[A-Z][A-Za-z]?\S*(\s+[+-]?\d*\.?\d+([eEdD][+-]?\d+)?){3}", re.I)
