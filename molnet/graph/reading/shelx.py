"""SHELX's .res files, as AIRSS writes them: several structures, each after its title.

ASE's reader knows no symmetry, no disorder and no second structure.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.res import Res

from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import Symbols
from molnet.graph.reading.text import read_text

_ATOM = re.compile(r"([A-Za-z]\w*)(\s+)(\d+)((?:\s+[-+]?\d*\.?\d+){3})(?:\s+([-+]?\d*\.?\d+))?(.*)")

FULL = (1.0, 11.0)
"""Occupancies of one; SHELX adds 10 to values that are not refined."""


def read_res(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure of a .res file; titles of AIRSS hold its energy.

    Raises:
        StructureFileError: symmetry, disorder or partly occupied sites, which ASE does not read.
    """
    symbols = Symbols(options)
    text = read_text(path)
    if text.split()[-1:] != ["END"]:
        raise StructureFileError(
            f"{path} does not end with END: it was cut short. Fetch or write it again."
        )
    for frame, (first, lines) in enumerate(_structures(text.splitlines())):
        plain, elements = [], list[str]()
        for number, line in enumerate(lines, start=first):
            place = f"{frame_name(path, frame)}, line {number}: {line.strip()!r}"
            words = line.split()
            _refuse_symmetry(words, place)
            if words[:1] == ["SFAC"]:
                elements += [word.capitalize() for word in words[1:]]
            atom = _ATOM.fullmatch(line.strip())
            if atom is not None and words[0] not in ("CELL", "ZERR"):
                if atom[5] is not None and float(atom[5]) not in FULL:
                    raise StructureFileError(
                        f"{place} is partly occupied. Convert the file to CIF."
                    )
                try:
                    type = int(atom[3])
                    name = elements[type - 1] if 0 < type <= len(elements) else atom[1]
                    line = f"{symbols[name][0]} {type} {atom[4]} 1.0"
                except ValueError as error:
                    raise StructureFileError(f"{place}: {error}.") from error
            elif len(words) > 4 and re.fullmatch(r"[A-Za-z]{1,2}\d*[A-Za-z]?", words[0]):
                raise StructureFileError(f"{place} is expected to be an atom, but is damaged.")
            plain.append(line)
        structure = Res.from_string("\n".join(plain))
        if structure.energy is not None:
            calculator = SinglePointCalculator(structure.atoms, energy=structure.energy)
            structure.atoms.calc = calculator
        yield structure.atoms


def _structures(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The number of the first line, and the lines, of each structure."""
    starts = [i for i, line in enumerate(lines) if line.split()[:1] == ["TITL"]]
    starts = starts or [0]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield start + 1, lines[start:end]


def _refuse_symmetry(words: list[str], place: str) -> None:
    first, rest = (words[0].upper(), words[1:]) if words else ("", [])
    if (
        first == "SYMM"
        or (first == "LATT" and rest != ["-1"])
        or (first == "PART" and rest != ["0"])
    ):
        raise StructureFileError(
            f"{place} gives symmetry or disorder, which is not read from this format. Convert the "
            "file to CIF."
        )
