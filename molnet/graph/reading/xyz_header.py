"""The comment line of an extended XYZ frame: keys and values, in all common spellings.

ASE splits and converts the values. This module handles what ASE would drop, misread or refuse: keys
in another case, a stress of six numbers, cells under other names.
"""

import copy
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from ase.calculators.calculator import all_properties
from ase.io.extxyz import key_val_str_to_dict
from ase.stress import voigt_6_to_full_3x3_stress

SPELLINGS = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}
"""Keys that are known in any case."""

ONCE = frozenset({*SPELLINGS.values(), *all_properties, "virial", "charge"})
"""Keys that must not occur twice with different values."""

COLUMNS = {
    "species": "species",
    "symbol": "species",
    "symbols": "species",
    "element": "species",
    "elements": "species",
    "z": "Z",
    "numbers": "Z",
    "atomic_number": "Z",
    "atomic_numbers": "Z",
    "pos": "pos",
    "position": "pos",
    "positions": "pos",
}
"""Columns that are known in any case and under several names."""

CELL_KEYS = frozenset({"cell", "box", "unit_cell", "unitcell", "lattice_vectors", "cell_vectors"})
"""Keys, in any case, of a cell that ASE would miss."""

PLAIN = "species:S:1:pos:R:3"

_QUOTED = r""""(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\{(?:\\.|[^}\\])*\}?|\[(?:\\.|[^\]\\])*\]?"""
_WORD = rf"""(?:\\.?|{_QUOTED}|[^\s="'{{\[\\])+"""
_PAIR = re.compile(rf"({_WORD})((?:\s*=\s*(?:{_WORD})?)*)")
_DELIMITERS = str.maketrans("", "", "\"'{}[]\\")
_EXPONENT = re.compile(r"(?<=\d)[dD](?=[+-]?\d)|(?<=\d\.)[dD](?=[+-]?\d)")
_I_PI = re.compile(r"#\s*CELL[({\[]")


class HeaderError(ValueError):
    """A comment line contradicts itself, or cannot be understood safely."""


def parse_header(comment: str) -> dict[str, Any]:
    """Keys and values of a comment line, for :func:`ase.io.extxyz.read_xyz`.

    A ``stress`` or ``virial`` may have nine numbers, or six in ASE's order: xx, yy, zz, yz, xz, xy.
    Numbers may have Fortran's exponents, 1.0D-03.

    Raises:
        HeaderError: a key occurs twice with different values, a cell, ``pbc``, stress or virial
            cannot be understood, or a cell stands under another key than ``Lattice``.
    """
    if _I_PI.search(comment):
        raise HeaderError(
            "the comment holds a cell in i-PI's own form (# CELL...), which would be lost. "
            'Write Lattice="ax ay az bx by bz cx cy cz" in its place'
        )
    header: dict[str, Any] = {}
    written: dict[str, tuple[str, str]] = {}
    for key, text in _pairs(comment):
        name = SPELLINGS.get(key.lower(), key)
        if name in ONCE and name in written:
            other, before = written[name]
            if before.split() != text.split():
                raise HeaderError(f"{other}={before!r} contradicts {key}={text!r}: keep one")
        written[name] = (key, text)
        header[name] = _value(name, text)
    if "Lattice" in header:
        header["Lattice"] = _lattice(*written["Lattice"], header["Lattice"])
    if "pbc" in header:
        header["pbc"] = _pbc(*written["pbc"])
    _refuse_other_cells(header)
    header["Properties"] = _properties(*written.get("Properties", ("Properties", PLAIN)))
    return header


def species_column(properties: str) -> int | None:
    """Which word of a row names the element; None: the column ``Z`` holds atomic numbers."""
    fields = properties.split(":")
    at = 0
    for name, columns in zip(fields[::3], fields[2::3], strict=True):
        if name == "species":
            return at
        at += int(columns)
    return None


def number_columns(properties: str) -> list[int]:
    """Which words of a row are numbers."""
    fields = properties.split(":")
    kinds = [
        kind
        for kind, columns in zip(fields[1::3], fields[2::3], strict=True)
        for _ in range(int(columns))
    ]
    return [at for at, kind in enumerate(kinds) if kind in "RI"]


def _pairs(comment: str) -> Iterator[tuple[str, str]]:
    """Each key with its value as text; a key without value is true, as for ASE."""
    for word, rest in _PAIR.findall(comment):
        key = word.translate(_DELIMITERS)
        if key:  # of \"\" nothing is left
            yield key, rest.strip().removeprefix("=").strip() or "T"


def _value(key: str, text: str) -> Any:
    """A number, an array, a truth value or text."""
    value = _cached_value(key, text)
    return value if isinstance(value, str | int | float) else copy.deepcopy(value)


@lru_cache(maxsize=1024)  # most frames of a file have the same columns, cell and words
def _cached_value(key: str, text: str) -> Any:
    if key.lower() == "uid":  # stays text for ASE, even if it looks like a number
        return key_val_str_to_dict(f"uid={text}")["uid"]
    (value,) = key_val_str_to_dict(f"_={text}").values()
    if isinstance(value, str) and "_JSON" not in value:
        (plain,) = key_val_str_to_dict(f"_={_EXPONENT.sub('e', text)}").values()
        value = value if isinstance(plain, str) else plain
    if key in ("stress", "virial"):
        return _stress(key, text, value)
    return value


def _stress(key: str, text: str, value: Any) -> np.ndarray:
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "if":
        raise HeaderError(
            f'{key}: expected nine numbers "xx xy xz yx yy yz zx zy zz", or six "xx yy zz yz xz '
            f'xy", got {text}'
        )
    if numbers.shape == (9,):
        return numbers.reshape(3, 3, order="F")
    # ASE reads a stress of six numbers, and a virial of nine alone.
    is_voigt = key == "virial" and numbers.shape == (6,)
    return voigt_6_to_full_3x3_stress(numbers) if is_voigt else numbers


def _lattice(key: str, text: str, value: Any) -> np.ndarray:
    numbers = np.asarray(value)
    if numbers.shape != (9,) or numbers.dtype.kind not in "if":
        raise HeaderError(
            f'{key}: expected nine numbers "ax ay az bx by bz cx cy cz", the cell vectors in Å, '
            f"got {text}. Three or six numbers, or nested lists, have no fixed meaning here"
        )
    return numbers.reshape(3, 3).T  # as ASE's reader expects it


def _pbc(key: str, text: str) -> list[bool]:
    words = text.translate(_DELIMITERS).replace(",", " ").split()
    if len(words) == 1 and len(words[0]) == 3:
        words = list(words[0])
    truth = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
    flags = [truth.get(word.lower()) for word in words]
    if len(flags) not in (1, 3) or None in flags:
        raise HeaderError(f'{key}: expected three of T and F, such as "T T F", got {text}')
    return [bool(flag) for flag in flags] * (3 // len(flags))


def _refuse_other_cells(header: dict[str, Any]) -> None:
    if "Lattice" in header or not any(header.get("pbc", [True])):
        return
    for key, value in header.items():
        if key.lower() in CELL_KEYS and np.asarray(value).dtype.kind in "if":
            raise HeaderError(
                f"the comment has {key} but no Lattice, so that a crystal would be read as a "
                f'molecule. Write Lattice="ax ay az bx by bz cx cy cz", or pbc="F F F" if it is one'
            )


def _properties(key: str, text: str) -> str:
    fields = text.translate(_DELIMITERS).split(":")
    if len(fields) % 3 or not all(columns.isdecimal() for columns in fields[2::3]):
        raise HeaderError(f"{key}: expected name:type:columns:..., such as {PLAIN}, got {text!r}")
    names = [COLUMNS.get(name.lower(), name) for name in fields[::3]]
    kinds = [kind.upper() for kind in fields[1::3]]
    for name in names:
        if names.count(name) > 1:
            raise HeaderError(f"{key}: the column {name!r} occurs twice in {text!r}: keep one")
    if "pos" not in names or not {"species", "Z"} & set(names):
        raise HeaderError(
            f"{key}: expected columns of elements (species:S:1) and positions (pos:R:3), got {text}"
        )
    return ":".join(
        f"{name}:{kind}:{columns}"
        for name, kind, columns in zip(names, kinds, fields[2::3], strict=True)
    )
