"""Dumps and data files of LAMMPS: atom types become elements only if the elements are known.

ASE's readers read type 1 as hydrogen and type 2 as helium, and give each dump an energy of zero.
"""

import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.lammpsdata import read_lammps_data
from ase.io.lammpsrun import read_lammps_dump_text

from molnet.graph.elements import ATOMIC_NUMBERS, MASSES, SYMBOLS
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import ISOTOPES, Symbols
from molnet.graph.reading.text import decompressing, open_text, read_text

UNITS = {
    "metal": {"positions": "Å", "forces": "eV/Å"},
    "real": {"positions": "Å", "forces": "kcal/mol/Å"},
    "electron": {"positions": "Bohr", "forces": "Hartree/Bohr"},
    "si": {"positions": "m", "forces": "J/m"},
    "cgs": {"positions": "cm"},
    "nano": {"positions": "nm"},
    "micro": {"positions": "1e-6 m"},
}
"""The units of LAMMPS's unit styles, for files that name their style."""

VELOCITIES = {
    "metal": 1.0,
    "real": 1e3,
    "electron": 0.529177210903 / 1.03275e-3,
    "si": 1e-2,
    "cgs": 1e-4,
    "nano": 1e-2,
    "micro": 1e-2,
}
"""Å/ps of one unit of velocity; ASE takes all for those of ``metal``."""

COORDINATES = ("", "s", "u", "su")
"""After x, y, z: wrapped, scaled, unwrapped, scaled and unwrapped."""

MASS_TOLERANCE = 0.05
"""Masses (amu) that differ less from an element's are that element's."""


def units_of_lammps(path: Path) -> dict[str, str]:
    """The units of positions and forces, where the file names LAMMPS's style of units.

    Raises:
        StructureFileError: the units are of another kind (lj), or not known.
    """
    with decompressing(path), open_text(path) as file:
        style = _style(file)
    if style is None:
        return {}
    if style not in UNITS:
        raise StructureFileError(
            f"{path} is in LAMMPS's units {style!r}, expected one of {', '.join(UNITS)}. Convert "
            "it to one of them."
        )
    return UNITS[style]


def _style(lines: Iterable[str]) -> str | None:
    """LAMMPS's style of units, if the first lines of a file name it."""
    lines = [line.strip() for line in islice(lines, 2)]
    if named := re.search(r"\bunits = (\w+)", lines[0] if lines else ""):
        return named[1]
    return lines[1] if lines[:1] == ["ITEM: UNITS"] else None


def _with_velocities(atoms: Atoms, style: str | None) -> Atoms:
    """The structure with velocities of a style of units, read as if they were in Å/ps."""
    factor = VELOCITIES.get(style or "metal", 1.0)
    if factor != 1 and atoms.has("momenta"):
        atoms.arrays["momenta"] *= factor
    return atoms


def read_dump(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every frame of a text dump. A dump has forces, but no energy.

    Raises:
        StructureFileError: the elements are not known, or a frame ends before its last atom.
    """
    symbols = Symbols(options)
    with decompressing(path), open_text(path) as file:
        style = _style(file)
        file.seek(0)
        for frame, block in enumerate(_dump_frames(file)):
            place = frame_name(path, frame)
            try:
                atoms = read_lammps_dump_text(io.StringIO(_with_elements(block, symbols)), index=0)
            except _DumpError as error:
                raise StructureFileError(f"{place}: {error}.") from error
            yield _with_velocities(without_energy(atoms), style)


def read_binary_dump(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every frame of a binary dump.

    Raises:
        StructureFileError: the elements are not known.
    """
    for frame, atoms in enumerate(iread(str(path), index=":", format="lammps-dump-binary")):
        try:
            atoms.symbols = _elements_of_types(atoms.arrays["type"], options)
        except _DumpError as error:
            raise StructureFileError(f"{frame_name(path, frame)}: {error}.") from error
        yield without_energy(atoms)


def read_data(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """The structure of a data file; elements from the options, its labels of types, or masses.

    Raises:
        StructureFileError: the elements are not known, or the file holds more than one structure.
    """
    text = read_text(path)
    place = frame_name(path, 0)
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    starts = [i + 1 for i, line in enumerate(lines) if line == "Atoms"]
    if len(starts) > 1:
        raise StructureFileError(
            f"{path} holds more than one structure: Atoms stands in the lines "
            f"{', '.join(map(str, starts))}. Put each in a file of its own."
        )
    rows = len(_section(lines, "Atoms"))
    counts = (int(line.split()[0]) for line in lines if re.fullmatch(r"\d+\s+atoms", line))
    stated = next(counts, rows)
    if rows != stated:
        raise StructureFileError(
            f"{place}: expected {stated} atoms, as its beginning says, got {rows} lines of atoms"
        )
    labels = {int(row[0]): row[1] for row in _section(lines, "Atom Type Labels")}
    masses = {int(row[0]): float(row[1]) for row in _section(lines, "Masses")}
    count = next((int(line.split()[0]) for line in lines if line.endswith("atom types")), 0)
    types = range(1, count + 1)
    try:
        if options.elements:
            elements = _elements_of_types(types, options)
        elif labels:
            symbols = Symbols(options)
            elements = [symbols[labels[type]][0] for type in types]
        else:
            elements = [_element_of_mass(masses.get(type), types) for type in types]
    except (_DumpError, ValueError) as error:
        raise StructureFileError(f"{place}: {error}.") from error
    numbers = {type: ATOMIC_NUMBERS[symbol] for type, symbol in zip(types, elements, strict=True)}
    atoms = read_lammps_data(io.StringIO(text), Z_of_type=numbers)
    yield _with_velocities(atoms, _style(text.splitlines()))


def without_energy(atoms: Atoms) -> Atoms:
    """The structure without the energy of zero that ASE's reader invents."""
    if atoms.calc is not None:
        atoms.calc.results.pop("energy", None)
    return atoms


class _DumpError(ValueError):
    """A frame of a dump that cannot be understood."""


def _dump_frames(file: Iterable[str]) -> Iterator[list[str]]:
    """The lines of each frame, from its time step on."""
    block: list[str] = []
    for line in file:
        if line.startswith("ITEM: TIMESTEP") and block:
            yield block
            block = []
        if block or line.startswith("ITEM: TIMESTEP"):
            block.append(line)
    if block:
        yield block


def _with_elements(block: list[str], symbols: Symbols) -> str:
    """The frame with a column ``element`` that holds symbols."""
    header = next((i for i, line in enumerate(block) if line.startswith("ITEM: ATOMS")), None)
    counted = [i for i, line in enumerate(block) if line.startswith("ITEM: NUMBER OF ATOMS")]
    box = next((line for line in block if line.startswith("ITEM: BOX BOUNDS")), "")
    if header is None or not counted or not box:
        raise _DumpError("it has no ITEM: NUMBER OF ATOMS, BOX BOUNDS or ATOMS: it was cut short")
    if not re.search(r"[pfsm]{2}\s+[pfsm]{2}\s+[pfsm]{2}\s*$", box):
        raise _DumpError(
            f"{box.strip()!r} does not say which directions of the box are periodic. If all are, "
            "write ITEM: BOX BOUNDS pp pp pp"
        )
    atoms = int(block[counted[0] + 1])
    rows = [line.split() for line in block[header + 1 :] if line.strip()]
    if (end := next((i for i, row in enumerate(rows) if row[0] == "ITEM:"), None)) is not None:
        rows = rows[:end]  # units and time of the next frame
    columns = block[header].split()[2:]
    if len(rows) != atoms or any(len(row) != len(columns) for row in rows):
        raise _DumpError(
            f"expected {atoms} atoms with {len(columns)} columns, got {len(rows)} lines"
            f"{f', the last {rows[-1]}' if rows else ''}: it was cut short or damaged"
        )
    if not any({f"{axis}{kind}" for axis in "xyz"} <= {*columns} for kind in COORDINATES):
        raise _DumpError(
            "expected coordinates (x y z, xs ys zs, xu yu zu or xsu ysu zsu), got the columns "
            f"{' '.join(columns)}"
        )
    if "id" in columns and len({row[columns.index("id")] for row in rows}) < atoms:
        raise _DumpError("two atoms have the same id")
    elements = _elements(columns, rows, symbols)
    if "element" in columns:
        at = columns.index("element")
        columns, rows = columns[:at] + columns[at + 1 :], [r[:at] + r[at + 1 :] for r in rows]
    lines = [" ".join([*row, symbol]) for row, symbol in zip(rows, elements, strict=True)]
    top = [line.rstrip("\n") for line in block[:header]]
    return "\n".join([*top, " ".join(["ITEM: ATOMS", *columns, "element"]), *lines, ""])


def _elements(columns: list[str], rows: list[list[str]], symbols: Symbols) -> list[str]:
    def column(name: str) -> list[str]:
        at = columns.index(name)
        return [row[at] for row in rows]

    types = column("type") if "type" in columns else []
    if types and all(symbols.options.element_of(type) for type in set(types)):
        return [symbols[type][0] for type in types]
    if "element" in columns:
        return [symbols[word][0] for word in column("element")]
    if "mass" in columns and not symbols.options.elements:
        found = {mass: _element_of_mass(float(mass), types) for mass in set(column("mass"))}
        return [found[mass] for mass in column("mass")]
    return _elements_of_types(types, symbols.options)


def _elements_of_types(types: Iterable[str | int], options: ReadingOptions) -> list[str]:
    elements = [options.element_of(str(type)) for type in types]
    if None in elements or not elements:
        raise _DumpError(_ask(types, options))
    return [str(element) for element in elements]


def _element_of_mass(mass: float | None, types: Iterable[str | int]) -> str:
    if mass is not None:
        if any(abs(mass - isotope) < MASS_TOLERANCE for isotope in ISOTOPES.values()):
            return "H"
        nearest = int(np.argmin(np.abs(np.array(MASSES[1:]) - mass))) + 1
        if abs(MASSES[nearest] - mass) < MASS_TOLERANCE:
            return SYMBOLS[nearest]
        raise _DumpError(f"{mass} is the mass of no element. {_ask(types)}")
    raise _DumpError(_ask(types))


def _ask(types: Iterable[str | int], options: ReadingOptions | None = None) -> str:
    found = sorted({str(type) for type in types}, key=lambda type: (len(type), type))
    given = f", got {dict(options.elements)}" if options and options.elements else ""
    if not found:
        return "the file names neither elements nor types of atoms"
    return (
        f"the file has the atom types {', '.join(found)} without their elements. Give the elements "
        f"in the order of the types with elements=[C,H]{given}"
    )


def _section(lines: list[str], name: str) -> list[list[str]]:
    """The rows of a section of a data file."""
    if name not in lines:
        return []
    rows = []
    for line in lines[lines.index(name) + 1 :]:
        if line and not line[0].isdigit():
            break
        if line:
            rows.append(line.split())
    return rows
