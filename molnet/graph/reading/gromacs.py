"""Structure files of Gromacs (.gro) and Gromos (.g96): every frame, from nm to Å.

The files hold names of atoms, not elements. A name becomes an element only if there is no other
reading.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import Symbols
from molnet.graph.reading.text import decompressing, open_text, read_text

NM = 10.0
"""Å in a nm."""


def read_gro(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every frame of a .gro file: title, number of atoms, atoms, box.

    Raises:
        StructureFileError: the file ends within a frame, or a line cannot be understood.
    """
    symbols = Symbols(options)
    with decompressing(path), open_text(path) as file:
        for frame in itertools.count():
            title = file.readline()
            if not title.strip() and not (title := _first_words(file)):
                return
            try:
                count = int(file.readline())
                rows = list(itertools.islice(file, count))
                box = file.readline()
                if len(rows) < count or not box:
                    raise ValueError(f"expected {count} atoms and a box, but the file ends before")
                yield _gro_frame(rows, box, symbols)
            except (ValueError, IndexError) as error:
                raise StructureFileError(
                    f"{frame_name(path, frame)} ({title.strip()[:60]!r}): {error}."
                ) from error


def read_g96(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every frame of a .g96 file: blocks POSITION or POSITIONRED, and BOX.

    Raises:
        StructureFileError: a line cannot be understood, or a frame has no names of atoms.
    """
    symbols = Symbols(options)
    frame, rows, box = 0, list[list[str]](), ""
    for name, lines in _g96_blocks(path):
        if name == "POSITION" and rows:
            yield _g96_frame(rows, box, symbols, frame_name(path, frame))
            frame, box = frame + 1, ""
        if name == "POSITION":
            rows = [line.split() for line in lines]
        elif name == "BOX":
            box = lines[0]
        elif name == "POSITIONRED":
            raise StructureFileError(
                f"{frame_name(path, frame)}: POSITIONRED holds no names of atoms. Write POSITION"
            )
    if rows:
        yield _g96_frame(rows, box, symbols, frame_name(path, frame))


def _first_words(file: Iterator[str]) -> str:
    return next((line for line in file if line.strip()), "")


def _gro_frame(rows: list[str], box: str, symbols: Symbols) -> Atoms:
    names, positions = [], []
    for i, row in enumerate(rows):
        points = [at for at, character in enumerate(row) if character == "."]
        # Columns are as wide as from one decimal point to the next: their precision may vary.
        width = points[1] - points[0] if len(points) > 2 else 8
        try:
            residue = row[5:10].strip()
            symbol, _ = symbols.in_residue(row[10:15].strip(), residue)
            position = [float(row[20 + j * width : 20 + (j + 1) * width]) for j in range(3)]
        except ValueError as error:
            raise ValueError(f"atom {i + 1}, {row.strip()!r}: {error}") from error
        names.append(symbol)
        positions.append(position)
    return _atoms(names, positions, box)


def _g96_blocks(path: Path) -> Iterator[tuple[str, list[str]]]:
    lines = (line.strip() for line in read_text(path).splitlines())
    for name in lines:
        if name and not name.startswith("#"):
            block = []
            for line in lines:
                if line == "END":
                    break
                block.append(line)
            else:
                raise StructureFileError(f"{path}: {name} has no END: the file was cut short.")
            yield name, [line for line in block if line and not line.startswith("#")]


def _g96_frame(rows: list[list[str]], box: str, symbols: Symbols, place: str) -> Atoms:
    try:
        names = [symbols.in_residue(row[2], row[1])[0] for row in rows]
        return _atoms(names, [[float(word) for word in row[4:7]] for row in rows], box)
    except (ValueError, IndexError) as error:
        raise StructureFileError(f"{place}: {error}.") from error


def _atoms(symbols: list[str], positions: list[list[float]], box: str) -> Atoms:
    """A box of zeros is Gromacs's way to say that there is none."""
    atoms = Atoms(symbols, positions=NM * np.array(positions).reshape(-1, 3))
    sides = [float(word) for word in box.split()]
    if len(sides) not in (0, 3, 9):
        raise ValueError(f"expected a box of three or nine numbers, got {box.strip()!r}")
    if any(sides):
        cell = np.diag(sides[:3])
        if len(sides) == 9:
            cell.flat[[1, 2, 3, 5, 6, 7]] = sides[3:]
        atoms.set_cell(NM * cell)
        atoms.pbc = True
    return atoms
