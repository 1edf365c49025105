"""Detects a second structure in files of formats whose reader returns one.

Many of ASE's readers stop after the first structure of a file, or keep the last; some join the
atoms of all. So the text is split where lines of the same form as its first lines occur again, and
both parts are read. If both are structures, and the whole has no more atoms than one part, the
reader has dropped the other part. If the first lines are repeated literally, it has joined them.
"""

import re
from collections.abc import Callable
from pathlib import Path

from ase import Atoms

from molnet.graph.reading.errors import StructureFileError

BEGINNINGS = {
    "abinit-in": r"\s*(xred|xcart|xangst)\b",
    "castep-cell": r"\s*%block\s+positions_",
    "cp2k-restart": r"\s*&coord\b",
    "dftb": r"\s*geometry\b",
    "dmol-car": r"!biosym",
    "dmol-incoor": r"\$coordinates",
    "espresso-in": r"\s*atomic_positions\b",
    "gamess-us-out": r"\s*coordinates of all atoms are",
    "gaussian-in": r"--link1--",
    "magres": r"\[atoms\]",
    "nwchem-in": r"\s*geometry\b",
    "onetep-in": r"\s*%block\s+positions_",
    "turbomole": r"\$coord\b",
    "xsf": r"\s*(atoms|primcoord)\b(?!\s+\d)",
}
"""The line before the atoms, in any case; it occurs once in a file of one structure."""

FORM = 3
"""Number of lines that must have the same form as the first lines of the file."""

TRIES = 20
"""A form that occurs more often is that of rows of numbers, not of a beginning."""


def refuse_second_structure(
    path: Path, format: str, text: str, whole: Atoms | None, read: Callable[[str], list[Atoms]]
) -> None:
    """Raises an error if a part of the text is a structure that ``read`` has left out.

    Args:
        path: of the file, for the message.
        format: of the file.
        text: all of the file.
        whole: the structure that ``read`` finds in all of it; None where it fails.
        read: from a text to its structures; fails with any error on what is none.

    Raises:
        StructureFileError: with the line from which on a structure was passed over.
    """
    lines = text.splitlines(keepends=True)
    begins = re.compile(BEGINNINGS.get(format, r"(?!)"), re.IGNORECASE)
    announced = [number for number, line in enumerate(lines, start=1) if begins.match(line)]
    if len(announced) > 1:
        raise StructureFileError(_more_than_one(path, announced[1], len(lines)))
    for start in _similar_starts(lines):
        try:
            first = read("".join(lines[:start]))[0]
            second = read("".join(lines[start:]))[0]
        # The parts of one structure are no structures: ASE's readers fail with errors of any kind.
        except Exception:  # noqa: BLE001, S112
            continue
        if not (len(first) and len(second)):
            continue
        dropped = whole is None or len(whole) <= max(len(first), len(second))
        merged = whole is not None and len(whole) == len(first) + len(second)
        if dropped or (merged and _is_repeated(lines, start)):
            raise StructureFileError(_more_than_one(path, start + 1, len(lines)))


def _more_than_one(path: Path, line: int, lines: int) -> str:
    return (
        f"{path} holds more than one structure, but the reader of this format takes only one: "
        f"another begins about line {line} of {lines}. Put each in a file of its own, or all in "
        "one extended XYZ file."
    )


def _similar_starts(lines: list[str]) -> list[int]:
    """Where lines of the form of the first ones occur again; the first may be a free title."""
    forms = [_form(line) for line in lines]
    first = next((i for i, form in enumerate(forms) if form), 0)
    pattern = forms[first : first + FORM]
    if len(pattern) < FORM:
        return []
    exact = [i for i in range(first + 1, len(forms)) if forms[i] and forms[i : i + FORM] == pattern]
    titled = [
        i
        for i in range(first + 1, len(forms))
        if forms[i + 1 : i + FORM] == pattern[1:] and i not in exact
    ]
    return [*exact[:TRIES], *titled[:TRIES]] if len(exact) <= TRIES else []


def _is_repeated(lines: list[str], start: int) -> bool:
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    return lines[first : first + 2] == lines[start : start + 2]


def _form(line: str) -> tuple[str, ...]:
    """The kind of each word: a whole number, a number, or the word in capitals."""
    return tuple(_kind(word) for word in line.split())


def _kind(word: str) -> str:
    if word.lstrip("+-").isdecimal():
        return "whole"
    try:
        float(word.replace("D", "E").replace("d", "e"))
    except ValueError:
        return word.upper() if word[:1] in "$%&#*!" or len(word) > 3 else "word"
    return "number"
