"""Protein Data Bank files: every model, with the cell that belongs to it."""

import io
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io.proteindatabank import read_proteindatabank

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.graph.reading.cell import check_cell
from molnet.graph.reading.disorder import refuse_disorder
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import ISOTOPES, Symbols
from molnet.graph.reading.text import decompressing, open_text

ATOM = ("ATOM  ", "HETATM")
BEGINS = ("MODEL ", "HEADER", "TITLE ", "COMPND", "CRYST1")
"""Records before the atoms of a structure; after atoms they begin the next structure."""

NO_ATOM = ("ANISOU", "SIGATM", "SIGUIJ", "REMARK", "TER   ", "USER  ")

ZEROS = {"0", "0.0", "0.00", "0.000"}
NO_CELL = "CRYST1    0.000    0.000    0.000  90.00  90.00  90.00 P 1           1"
"""What ASE's reader makes a cell of zeros of."""

_COORDINATES = re.compile(r"(?=.{24})(\s*[-+]?\d+\.\d{3}){3}$")


def read_pdb(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure of a PDB file; they end with ENDMDL, END, or where the next one begins.

    A cell before the first model is that of all models.

    Raises:
        StructureFileError: an unknown element, alternate locations or partly occupied atoms (unless
            the options say how to choose), or a line that cannot be read.
    """
    symbols = Symbols(options)
    with decompressing(path), open_text(path) as file:
        for frame, (frames_cell, rows) in enumerate(_structures(file)):
            place = frame_name(path, frame)
            rows = _ordered(rows, options, place)
            masses, lines = {}, []
            for i, row in enumerate(rows):
                try:
                    if len(row.rstrip()) < 54:
                        raise ValueError("expected a line with three coordinates up to column 54")
                    for column in (30, 38, 46):
                        float(row[column : column + 8])
                    symbol, mass = _element(row, symbols)
                except ValueError as error:
                    raise StructureFileError(f"{place}: {row.strip()!r}: {error}.") from error
                if mass is not None:
                    masses[i] = mass
                lines.append(f"{row.rstrip():80}"[:76] + f"{symbol.upper():>2}")
            atoms = read_proteindatabank(io.StringIO("\n".join([*frames_cell, *lines, "END", ""])))
            if masses:
                values = atoms.get_masses()
                values[list(masses)] = list(masses.values())
                atoms.set_masses(values)
            yield atoms


def _structures(file: Iterator[str]) -> Iterator[tuple[list[str], list[str]]]:
    """The lines of cell and orientation, and those of the atoms, of each structure."""
    cell: dict[str, str] = {}
    rows: list[str] = []
    ended, names = False, list[str]()
    model = ""
    for line in file:
        record = line[:6].rstrip().ljust(6)
        if record in ATOM:
            rows.append(line)
            continue
        if rows and (record.startswith("END") or record in BEGINS):
            # Programs that write frames of dynamics may state the cell once, in the first frame.
            if ended and [row[12:16] for row in rows] != names:
                cell = {}
            yield list(cell.values()), rows
            names, rows, ended = [row[12:16] for row in rows], [], False
        if record == "END   ":
            ended = True
        if record not in NO_ATOM and _COORDINATES.match(line[30:54]):
            raise ValueError(f"expected ATOM or HETATM before coordinates, got {line.strip()!r}")
        if record in ("MODEL ", "ENDMDL"):
            model = line.strip() if record == "MODEL " else ""
        if record == "CRYST1" or record.startswith("ORIGX"):
            cell[record] = line.rstrip("\n")
            if record == "CRYST1":
                cell[record], ended = _cell(line), False
    if model:
        raise ValueError(f"{model!r} has no ENDMDL: the file was cut short")
    if rows:
        if ended and [row[12:16] for row in rows] != names:
            cell = {}
        yield list(cell.values()), rows


def _cell(line: str) -> str:
    """The record as ASE's reader takes it; one of blanks or zeros stands for no cell."""
    columns = (line[6:15], line[15:24], line[24:33], line[33:40], line[40:47], line[47:54])
    words = [column.strip() or "0" for column in columns]
    if {*words[:3]} <= ZEROS or {*words[3:]} <= ZEROS:
        return NO_CELL
    check_cell(words)
    return line.rstrip("\n")


def _element(row: str, symbols: Symbols) -> tuple[str, float | None]:
    """From the columns of the element; where they are empty, from the name of the atom."""
    word = row[76:78].strip().capitalize()
    if ATOMIC_NUMBERS.get(word, 0) > 0:
        return word, None
    if word in ISOTOPES:
        return "H", ISOTOPES[word]
    name, residue = row[12:16], row[17:20].strip()
    if name[:1] == " " and symbols.options.element_of(name.strip()) is None:
        # The element is right-justified in the first two columns: " CA " is carbon.
        return symbols[name.strip()[:1]]
    return symbols.in_residue(name.strip().lstrip("0123456789"), residue)


def _ordered(rows: list[str], options: ReadingOptions, place: str) -> list[str]:
    """The atoms of one ordered structure."""
    occupancies = [_occupancy(row) for row in rows]
    if not all(0 <= occupancy <= 1 for occupancy in occupancies) or not any(occupancies):
        occupancies = [1.0] * len(rows)  # the columns hold something else
    alternatives: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row, occupancy in zip(rows, occupancies, strict=True):
        if row[16] != " ":
            groups = alternatives[row[21], row[22:27]]
            groups[row[16]] = groups.get(row[16], 0.0) + occupancy
    several = {residue for residue, groups in alternatives.items() if len(groups) > 1}
    sites = [
        f"{row[12:16].strip()} of {row[17:20].strip()} {row[22:26].strip()} "
        f"({row[16].strip() or 'no alternative'}, {occupancy:g})"
        for row, occupancy in zip(rows, occupancies, strict=True)
        if occupancy < 1 or (row[16] != " " and (row[21], row[22:27]) in several)
    ]
    if not sites:
        return rows
    if options.disorder is None:
        refuse_disorder(sites, place)
    chosen = {
        residue: min(groups, key=lambda group: (-groups[group], group))
        for residue, groups in alternatives.items()
    }
    return [
        row
        for row, occupancy in zip(rows, occupancies, strict=True)
        if (
            chosen[row[21], row[22:27]] == row[16]
            if (row[21], row[22:27]) in several and row[16] != " "
            else occupancy >= 0.5
        )
    ]


def _occupancy(row: str) -> float:
    try:
        return float(row[54:60])
    except ValueError:
        return 1.0
