"""Files of several structures, of which ASE reads the first or the last.

Each reader splits the text into structures. Text that belongs to no structure is an error, so that
nothing is dropped silently.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.gen import read_gen
from ase.io.vasp import read_vasp

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import Symbols, UnknownSymbolError
from molnet.graph.reading.text import read_text, with_plain_exponents


def read_poscars(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure of a POSCAR or CONTCAR, or of several in one file.

    Velocities and what VASP keeps for its next step of dynamics belong to the structure before
    them, as do the densities of a CHGCAR.

    Raises:
        StructureFileError: the elements of a file of VASP 4 are not known, or a part of the file is
            not a structure.
    """
    lines = with_plain_exponents(read_text(path)).splitlines()
    start, frame = _next_start(lines, 0), 0
    while start < len(lines):
        place = f"{frame_name(path, frame)}, line {start + 1}"
        try:
            end = _end_of_poscar(lines, start)
        except (ValueError, IndexError) as error:
            reason = "the file ends there" if isinstance(error, IndexError) else error
            raise StructureFileError(
                f"{place}: expected a structure in VASP's form (title, scale, three cell vectors, "
                f"elements, counts, positions), got {lines[start][:60]!r}: {reason}. The "
                f"{len(lines) - start} lines from here on would be lost."
            ) from error
        block = _with_elements(lines[start:end], Symbols(options), place)
        yield read_vasp(io.StringIO("\n".join([*block, ""])))
        start, frame = _end_of_dynamics(lines, end), frame + 1


def read_gens(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure of a file in DFTB+'s gen format.

    Raises:
        StructureFileError: a part of the file is not a structure.
    """
    lines = with_plain_exponents(read_text(path)).splitlines()
    start, frame = _skip_blank(lines, 0), 0
    symbols = Symbols(options)
    while start < len(lines):
        place = f"{frame_name(path, frame)}, line {start + 1}"
        try:
            atoms, kind = int(lines[start].split()[0]), lines[start].split()[1].upper()
            end = start + 2 + atoms + (4 if kind in ("S", "F") else 0)
            if end > len(lines):
                raise ValueError(f"expected {end - start} lines, the file ends before")
            for at in range(start + 2, start + 2 + atoms):
                _check_numbers(lines, at, 2, 3)
            names = lines[start + 1].split()
            found = [symbols[name][0] for name in names]
            block = [f"{atoms} {kind}", " ".join(found), *lines[start + 2 : end]]
            structure = read_gen(io.StringIO("\n".join([*block, ""])))
        except (ValueError, IndexError, KeyError, OSError) as error:
            raise StructureFileError(
                f"{place}: expected a structure in DFTB+'s form (number of atoms and C, S or F; "
                f"elements; atoms; cell), got {lines[start][:60]!r}: {error}"
            ) from error
        yield structure
        start, frame = _skip_blank(lines, end), frame + 1


def _next_start(lines: list[str], start: int) -> int:
    """The next structure's title, which may be blank, or the next line with anything on it."""
    while start < len(lines) and not lines[start].strip() and not _is_header(lines, start):
        start += 1
    return start


def _skip_blank(lines: list[str], start: int) -> int:
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        start += 1
    return start


def _check_numbers(lines: list[str], at: int, first: int, count: int) -> None:
    """Checks that words ``first`` to ``first + count`` of a line are numbers."""
    words = lines[at].split()[first : first + count]
    if len(words) < count:
        raise ValueError(f"line {at + 1}: expected {count} numbers, got {lines[at].strip()!r}")
    for word in words:
        try:
            float(word)
        except ValueError as error:
            hint = ", write a decimal point" if "," in word else ""
            raise ValueError(f"line {at + 1}: expected a number, got {word!r}{hint}") from error


def _counts(line: str) -> list[int]:
    return [int(word) for word in line.split("!")[0].split()]


def _end_of_poscar(lines: list[str], start: int) -> int:
    """The line behind the last position of the structure that starts there."""
    _check_numbers(lines, start + 1, 0, 1)
    for i in (2, 3, 4):
        _check_numbers(lines, start + i, 0, 3)
    at = start + 5
    if not lines[at].split()[0].isdecimal():
        at += 1
    atoms = sum(_counts(lines[at]))
    if atoms < 1:
        raise ValueError(f"expected the number of atoms of each type, got {lines[at].strip()!r}")
    at += 1
    if lines[at].strip()[:1].lower() == "s":
        at += 1
    for i in range(at + 1, at + 1 + atoms):
        _check_numbers(lines, i, 0, 3)
    return at + 1 + atoms


def _end_of_dynamics(lines: list[str], end: int) -> int:
    """Where the next structure may start: behind velocities and the like.

    The next structure is a title, a scale and three cell vectors; until one comes, the lines hold
    numbers and the words of a lattice's velocities only. Numbers right behind the positions, with
    no blank line between, are positions of more atoms than are counted.
    """
    for start in range(end, len(lines)):
        if _is_header(lines, start):
            return start
        words = lines[start].split()
        is_position = start == end and words and words[0][:1] in "+-.0123456789"
        if words and (is_position or not _is_dynamics(words)):
            return start
    return len(lines)


def _is_header(lines: list[str], start: int) -> bool:
    if start + 7 >= len(lines) or len(lines[start + 1].split()) not in (1, 3):
        return False
    try:
        return _end_of_poscar(lines, start) <= len(lines)
    except (ValueError, IndexError):
        return False


def _is_dynamics(words: list[str]) -> bool:
    if words[0].lower() in ("lattice", "cartesian", "direct", "augmentation"):
        return True
    try:
        return all(np.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def _with_elements(block: list[str], symbols: Symbols, place: str) -> list[str]:
    """The block with a line of elements, which files of VASP 4 have in their title at best."""
    counts_at = 5 if block[5].split()[0].isdecimal() else 6
    counts = _counts(block[counts_at])
    names = block[0].split() if counts_at == 5 else block[5].split("!")[0].split()
    if symbols.options.elements and counts_at == 5:
        names = [str(i + 1) for i in range(len(counts))]
    elif counts_at == 5 and (
        len(names) != len(counts) or any(name not in ATOMIC_NUMBERS for name in names)
    ):
        raise StructureFileError(
            f"{place}: the file names no elements, only {len(counts)} types "
            f"({', '.join(map(str, counts))} atoms). Say which they are, in their order, with "
            "elements=[C,H]"
        )
    if len(names) != len(counts):
        raise StructureFileError(
            f"{place}: expected as many elements as counts of atoms, got {' '.join(names)!r} and "
            f"{block[counts_at].strip()!r}"
        )
    # POTCAR names such as Na_pv or Fe/6a2f546d begin with the element.
    try:
        found = [symbols[name.split("/")[0].split("_")[0]][0] for name in names]
    except UnknownSymbolError as error:
        raise StructureFileError(f"{place}: {error}") from error
    return [*block[:5], " ".join(found), " ".join(map(str, counts)), *block[counts_at + 1 :]]
