"""Molfiles and SD files: every record, with its total charge.

The format is BIOVIA's connection table, versions V2000 and V3000.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ase import Atoms

from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import Symbols
from molnet.graph.reading.text import decompressing, open_text

OLD_CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}
"""Charges by the number in an atom's line; 4 is a doublet radical."""


@dataclass
class _Table:
    """What a connection table says of its atoms."""

    symbols: list[str] = field(default_factory=list)
    positions: list[tuple[float, ...]] = field(default_factory=list)
    masses: dict[int, float] = field(default_factory=dict)
    charges: dict[int, int] = field(default_factory=dict)
    end: int = 0

    def add(self, word: str, xyz: list[str], symbols: Symbols) -> None:
        """Takes in an atom."""
        x, y, z = map(float, xyz)
        symbol, mass = symbols[word]
        if mass is not None:
            self.masses[len(self.symbols)] = mass
        self.symbols.append(symbol)
        self.positions.append((x, y, z))


_ATOM = re.compile(r"(\s*-?\d+\.\d+){3}\s+[A-Z]")


def read_sdf(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """Every record of an SD file or molfile; records end with ``$$$$`` or at the next one's start.

    The formal charges are summed up in ``info["charge"]``; a record's name is ``info["name"]``, and
    its data items are entries of ``info``, numbers where they are numbers.

    Raises:
        StructureFileError: a record that cannot be understood, a drawing in two dimensions, or
            lines that belong to no record.
    """
    symbols = Symbols(options)
    frame = 0
    with decompressing(path), open_text(path) as file:
        for first, record in _records(file):
            start = 0
            while start < len(record) and any(line.strip() for line in record[start:]):
                place = f"{frame_name(path, frame)}, line {first + start}"
                try:
                    table = _read_table(record[start:], symbols)
                except (ValueError, IndexError) as error:
                    raise StructureFileError(
                        f"{place}: expected a record of an SD file or molfile (three lines, the "
                        f"counts of atoms and bonds, the atoms, M  END): {error}."
                    ) from error
                title = record[start].strip()
                start += table.end
                # Molfiles joined without $$$$ follow each other; data items follow the last.
                following = _following_table(record[start:])
                items = record[start:] if following is None else record[start : start + following]
                start = len(record) if following is None else start + following
                if lost := _lines_of_no_item(items):
                    raise StructureFileError(
                        f"{place}: expected data items or the next record behind M  END, got "
                        f"{lost!r}. Separate records by a line with $$$$."
                    )
                yield _atoms(table, title, items)
                frame += 1


def _records(file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The number of each record's first line, and its lines without ``$$$$``."""
    first = 1
    lines: list[str] = []
    for number, line in enumerate(file, start=1):
        if line.startswith("$$$$"):
            yield first, lines
            first, lines = number + 1, []
        else:
            lines.append(line.rstrip("\n"))
    yield first, lines


def _is_counts(line: str) -> bool:
    return line.rstrip().endswith(("V2000", "V3000"))


def _following_table(lines: list[str]) -> int | None:
    """Where another table starts: three lines before its counts."""
    counts = (i for i, line in enumerate(lines) if _is_counts(line))
    at = next(counts, None)
    return None if at is None else max(at - 3, 0)


def _read_table(lines: list[str], symbols: Symbols) -> _Table:
    if len(lines) < 4:
        raise ValueError(f"it has {len(lines)} lines only")
    v3000 = lines[3].rstrip().endswith("V3000")
    table = _read_v3000(lines, symbols) if v3000 else _read_v2000(lines, symbols)
    if lines[1][20:22].upper() == "2D" and not any(z for _, _, z in table.positions):
        raise ValueError("it is a two-dimensional drawing (2D in its second line), no structure")
    return table


def _read_v2000(lines: list[str], symbols: Symbols) -> _Table:
    atoms, bonds = int(lines[3][0:3]), int(lines[3][3:6] or 0)
    table = _Table()
    if len(lines) < 4 + atoms + bonds:
        raise ValueError(f"expected {atoms} atoms and {bonds} bonds, but the record ends earlier")
    for i, line in enumerate(lines[4 : 4 + atoms]):
        try:
            x, y, z, word, *more = _atom_fields(line)
            table.add(word, [x, y, z], symbols)
        except ValueError as error:
            raise ValueError(f"atom {i + 1}, {line.strip()!r}: {error}") from error
        if len(more) > 1 and int(more[1]) in OLD_CHARGES:
            table.charges[i] = OLD_CHARGES[int(more[1])]
    at = 4 + atoms + bonds
    for line in lines[4 + atoms : at]:
        _check_bond(line, atoms)
    old = True
    while at < len(lines) and not lines[at].startswith(("M  END", ">")):
        if lines[at].startswith("M  CHG"):
            if old:  # these lines replace the charges in the atoms' lines
                table.charges, old = {}, False
            numbers = [int(word) for word in lines[at].split()[3:]]
            if not all(0 < atom <= atoms for atom in numbers[::2]):
                raise ValueError(
                    f"expected charges of the {atoms} atoms, got {lines[at].strip()!r}"
                )
            table.charges |= {i - 1: q for i, q in zip(numbers[::2], numbers[1::2], strict=True)}
        elif _ATOM.match(lines[at]):
            raise ValueError(f"{atoms} atoms are said, but another follows: {lines[at].strip()!r}")
        at += 1
    has_end = at < len(lines) and lines[at].startswith("M  END")
    if not has_end and lines[3].rstrip().endswith("V2000"):
        raise ValueError("it has no M  END, it was cut short")
    table.end = at + has_end
    return table


def _check_bond(line: str, atoms: int) -> None:
    """Refuses a line that joins no two atoms: there are more atoms than are counted."""
    for ends in ([line[0:3], line[3:6]], line.split()[:2]):  # fixed columns, or free ones
        if all(end.strip().isdecimal() and 0 < int(end) <= atoms for end in ends) and ends:
            return
    raise ValueError(f"expected a bond between two of {atoms} atoms, got {line.strip()!r}")


def _atom_fields(line: str) -> list[str]:
    """Fixed columns, as the format has it; free ones, as many programs write it."""
    fixed = [line[0:10], line[10:20], line[20:30], line[31:34], line[34:36], line[36:39]]
    try:
        for number in fixed[:3]:
            float(number)
        if fixed[3].strip() and len(fixed[3].split()) == 1:
            return [word.strip() or "0" for word in fixed]
    except ValueError:
        pass
    return line.split()


def _read_v3000(lines: list[str], symbols: Symbols) -> _Table:
    table = _Table()
    inside = False
    for at, line in enumerate(_joined(lines)):
        words = line.split()
        if words[:2] == ["M", "END"]:
            table.end = at + 1
            break
        if words[:4] == ["M", "V30", "BEGIN", "ATOM"]:
            inside = True
        elif words[:4] == ["M", "V30", "END", "ATOM"]:
            inside = False
        elif inside and words:
            _, _, _, word, x, y, z, *more = words
            for entry in more:
                if entry.startswith("CHG="):
                    table.charges[len(table.symbols)] = int(entry.removeprefix("CHG="))
            table.add(word, [x, y, z], symbols)
    if not table.end or not table.symbols:
        raise ValueError("it is a V3000 table without atoms or without M  END")
    return table


def _joined(lines: list[str]) -> Iterator[str]:
    """The lines of a V3000 table; a line that ends with - is joined with the next one."""
    begun = ""
    for line in lines:
        text = line.rstrip()
        if text.endswith("-") and text.startswith("M  V30"):
            begun += text[:-1] if not begun else text.removeprefix("M  V30")[:-1]
            yield ""  # keeps the numbers of the lines
            continue
        yield begun + text.removeprefix("M  V30") if begun else text
        begun = ""


def _atoms(table: _Table, title: str, items: list[str]) -> Atoms:
    atoms = Atoms(table.symbols, positions=table.positions)
    if table.masses:
        masses = atoms.get_masses()
        masses[list(table.masses)] = list(table.masses.values())
        atoms.set_masses(masses)
    atoms.info |= _data_items(items)
    if title:
        atoms.info["name"] = title
    if table.charges or "charge" not in atoms.info:
        atoms.info["charge"] = sum(table.charges.values())
    return atoms


def _lines_of_no_item(lines: list[str]) -> str:
    """The first line before the first data item, if it is not blank."""
    first = next((line.strip() for line in lines if line.strip()), "")
    return "" if first.startswith(">") else first


def _data_items(lines: list[str]) -> dict[str, float | str]:
    """``> <NAME>``, the value's lines, a blank line."""
    items: dict[str, float | str] = {}
    name, value = "", list[str]()
    for line in [*lines, ""]:
        if line.startswith(">") and "<" in line:
            name, value = line[line.index("<") + 1 : line.rindex(">")], []
        elif line.strip():
            value.append(line.strip())
        elif name:
            text = "\n".join(value)
            try:
                items[name] = float(text)
            except ValueError:
                items[name] = text
            name = ""
    return items
