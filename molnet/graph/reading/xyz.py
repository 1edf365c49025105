"""XYZ files, plain and extended, one frame after the other.

ASE's reader stops at a blank line and does not name the faulty frame. So files are split into
frames here, and ASE reads each frame.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ase import Atoms
from ase.io.extxyz import read_xyz

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import Symbols, UnknownSymbolError
from molnet.graph.reading.text import OPENERS, decompressing, open_text, text_of
from molnet.graph.reading.xyz_header import (
    PLAIN,
    HeaderError,
    number_columns,
    parse_header,
    species_column,
)

ELEMENTS = frozenset(ATOMIC_NUMBERS) - {"X"}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)")


@dataclass(frozen=True)
class FrameRange:
    """Frames of an XYZ file that follow one another.

    Attributes:
        first: the number of the first frame, counted from 0.
        count: of frames.
        line: the number of their first line, counted from 1.
        start: the place of their first byte.
        size: bytes.
    """

    first: int
    count: int
    line: int
    start: int
    size: int


def read_xyz_frames(
    path: Path, options: ReadingOptions, part: FrameRange | None = None
) -> Iterator[Atoms]:
    """Every frame of an XYZ file, compressed or not; or those of a part of :func:`xyz_ranges`.

    Raises:
        StructureFileError: the file ends within a frame, or a line cannot be understood.
    """
    symbols = Symbols(options)
    first, line = (part.first, part.line) if part is not None else (0, 1)
    with decompressing(path), _opened(path, part) as file:
        for frame, block in enumerate(xyz_blocks(file, path, first, line), start=first):
            try:
                yield _read(block.lines, symbols, block.line)
            except (HeaderError, UnknownSymbolError, _RowError) as error:
                raise StructureFileError(f"{frame_name(path, frame)}: {error}.") from error


def _opened(path: Path, part: FrameRange | None) -> IO[str]:
    if part is None:
        return open_text(path)
    with open(path, "rb") as file:
        file.seek(part.start)
        return text_of(io.BytesIO(file.read(part.size)))


def count_xyz_frames(path: Path) -> int:
    """The number of frames; a file that was cut short is an error."""
    with decompressing(path), open_text(path) as file:
        return sum(1 for _ in xyz_blocks(file, path))


def xyz_ranges(path: Path, size: int) -> list[FrameRange] | None:
    """The frames of an XYZ file in parts that can be read one without the others.

    Args:
        path: of the file.
        size: bytes of a part, which ends with the first frame that ends beyond.

    Returns:
        The parts; None where the file has to be read from its beginning: it is compressed, or in
        UTF-16.

    Raises:
        StructureFileError: the file ends within a frame, or has a line out of place.
    """
    if path.suffix.lower() in OPENERS:
        return None
    with decompressing(path), open_text(path) as text:
        if isinstance(text, io.TextIOWrapper) and text.encoding == "utf-16":
            return None
    parts: list[FrameRange] = []
    first, start, line = 0, 0, 1
    frame, end, last = 0, 0, 1
    # In Latin-1 a character is a byte, and lines keep the ends that they have.
    try:
        with open(path, encoding="latin-1", newline="") as file:
            for frame, block in enumerate(xyz_blocks(file, path), start=1):
                end, last = block.end, block.line + len(block.lines)
                if end - start >= size:
                    parts.append(FrameRange(first, frame - first, line, start, end - start))
                    first, start, line = frame, end, last
    except StructureFileError:
        count_xyz_frames(path)  # fails with the text as it is meant
        raise
    if frame > first:
        parts.append(FrameRange(first, frame - first, line, start, end - start))
    return parts


@dataclass
class Block:
    """The lines of one frame.

    Attributes:
        lines: the number of atoms, the comment, the atoms, at times cell vectors (VEC1 ...).
        line: the number of the first, counted from 1.
        end: characters from the beginning of the file to the end of the frame.
    """

    lines: list[str]
    line: int
    end: int


def xyz_blocks(file: IO[str], path: Path, frame: int = 0, number: int = 1) -> Iterator[Block]:
    """Each frame of an open file.

    Args:
        file: opened for reading.
        path: of the file.
        frame: the number of the first frame, counted from 0.
        number: that of the first line, counted from 1.

    Raises:
        StructureFileError: the file ends within a frame, or has a line out of place.
    """
    end = 0
    line = file.readline()
    while line:
        # Files with a byte-order mark may have been joined. In Latin-1 it is three characters.
        first_line = line.strip().removeprefix("\ufeff").removeprefix("ï»¿")
        end += len(line)
        if not first_line:
            line, number = file.readline(), number + 1
            continue
        atoms = _atom_count(first_line, frame_name(path, frame), number)
        comment = file.readline()
        rows = list(islice(file, atoms))
        if len(rows) < atoms or not comment:
            raise StructureFileError(
                f"{frame_name(path, frame)}: expected {atoms} atoms, but the file ends after "
                f"{len(rows)}: it was cut short. Fetch or write it again, or remove this frame."
            )
        line = file.readline()
        while line.lstrip().startswith("VEC"):
            rows.append(line)
            line = file.readline()
        end += len(comment) + sum(map(len, rows))
        yield Block([first_line, comment.strip(), *rows], number, end)
        number += 2 + len(rows)
        frame += 1


def _atom_count(text: str, place: str, line: int) -> int:
    if text.isascii() and text.isdecimal():
        return int(text)
    reason = (
        "The frame before it may have more or fewer lines than it says."
        if line > 1
        else "If the file is not an XYZ file, name its format with format=NAME."
    )
    raise StructureFileError(
        f"{place}: expected a line with the number of atoms, got {text[:80]!r} in line {line}. "
        f"{reason}"
    )


class _RowError(ValueError):
    """A line of an atom that cannot be understood."""


def _read(block: list[str], symbols: Symbols, line: int) -> Atoms:
    """One frame, whose first line is the file's ``line``-th."""
    count, comment, *rows = block
    rows, vectors = rows[: int(count)], rows[int(count) :]
    header = parse_header(comment)
    properties = header["Properties"]
    if vectors:  # ASE takes the comment of such a frame for plain text
        if {"Lattice", "pbc"} & header.keys():
            raise HeaderError("the cell is given twice, by the comment and by VEC lines: keep one")
        properties = PLAIN
    masses: dict[int, float] = {}
    column = species_column(properties)
    if column is not None:
        rows, masses = _with_symbols(rows, column, symbols, comment, line + 2)
    # Looking closely costs as much as reading, so it is done where something is unusual.
    if not _is_plain(rows):
        rows = _with_plain_numbers(rows, number_columns(properties), line + 2)
    try:
        atoms = _by_ase([count, comment, *rows, *vectors], header)
    except (ValueError, OSError):
        rows = _with_plain_numbers(rows, number_columns(properties), line + 2)
        atoms = _by_ase([count, comment, *rows, *vectors], header)
    if masses:
        values = atoms.get_masses()
        values[list(masses)] = list(masses.values())
        atoms.set_masses(values)
    return atoms


def _by_ase(lines: list[str], header: dict[str, Any]) -> Atoms:
    def parsed(_: str) -> dict[str, Any]:
        return dict(header)  # ASE takes entries out

    text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
    atoms: Atoms = next(iter(read_xyz(io.StringIO(text), index=0, properties_parser=parsed)))
    return atoms


def _is_plain(rows: list[str]) -> bool:
    text = "".join(rows)
    return text.isascii() and "_" not in text  # Python reads 1_0 as 10


def _with_symbols(
    rows: list[str], column: int, symbols: Symbols, comment: str, line: int
) -> tuple[list[str], dict[int, float]]:
    """The rows with the symbols of the elements, and the masses of isotopes by atom."""
    words = [row.split(None, column + 1) for row in rows]
    names = {row[column] if len(row) > column else "" for row in words}
    if names <= ELEMENTS and not symbols.options.elements:
        return rows, {}
    _refuse_types(names, symbols.options, comment)
    masses = {}
    for i, row in enumerate(words):
        if len(row) <= column:
            raise _RowError(f"line {line + i}: expected an atom, got {rows[i].strip()!r}")
        try:
            row[column], mass = symbols[row[column]]
        except UnknownSymbolError as error:
            raise UnknownSymbolError(f"line {line + i}: {error}") from error
        if mass is not None:
            masses[i] = mass
    return [" ".join(row) for row in words], masses


def _refuse_types(names: set[str], options: ReadingOptions, comment: str) -> None:
    """Numbers in the place of symbols are atomic numbers, or LAMMPS's types, which look alike."""
    numbers = {name for name in names if name.isdecimal() and options.element_of(name) is None}
    from_lammps = comment.startswith("Atoms. Timestep")
    if numbers and (from_lammps or numbers == {str(i + 1) for i in range(len(numbers))}):
        types = ", ".join(sorted(numbers, key=int))
        raise UnknownSymbolError(
            f"the atoms are named {types}. These look like atom types, not atomic numbers. Give "
            "the elements in the order of the types with elements=[C,H]"
        )


def _with_plain_numbers(rows: list[str], columns: list[int], line: int) -> list[str]:
    """The rows with Python's exponents for Fortran's; names the first word that is no number."""
    plain = []
    for i, text in enumerate(rows):
        row = text.split()
        for column in columns:
            if column >= len(row):
                raise _RowError(
                    f"line {line + i}: expected {max(columns) + 1} columns, got {text.strip()!r}"
                )
            word = row[column]
            if fortran := _FORTRAN.fullmatch(word):
                row[column] = f"{fortran[1]}e{fortran[2]}"
            elif not (word.isascii() and _NUMBER.fullmatch(word)):
                comma = ". Write a decimal point" if "," in word else ""
                raise _RowError(f"line {line + i}: expected a number, got {word!r}{comma}")
        plain.append(" ".join(row))
    return plain
