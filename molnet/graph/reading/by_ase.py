"""Formats that ASE's own readers read, with checks for what these readers miss."""

import io
import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms
from ase.io import iread
from ase.io.formats import ioformats

from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.quantum_chemistry import STATED, take_charge
from molnet.graph.reading.rest import refuse_second_structure
from molnet.graph.reading.symbols import Symbols
from molnet.graph.reading.text import (
    decompressing,
    is_plain_text,
    open_bytes,
    open_text,
    read_text,
    with_plain_exponents,
    without_compression,
)

ONE_DESPITE_CODE = ("xsf",)
"""Formats whose readers return one structure of several, although ASE's table says otherwise."""


TRAJECTORY = b"- of UlmASE-Trajectory"
"""The first bytes of an ASE trajectory."""


def read_by_ase(path: Path, format: str, options: ReadingOptions) -> Iterator[Atoms]:
    """Every structure that ASE's reader of that format finds.

    Raises:
        StructureFileError: the reader passes over a second structure, or would take names of atoms
            for elements.
    """
    reader = ioformats[format]
    is_text = not reader.isbinary and not _has_zero_bytes(path)
    if format == "turbomole" and "$end" not in read_text(path).lower():
        raise StructureFileError(f"{path} has no $end: it was cut short. Fetch or write it again.")
    if format == "traj":
        _refuse_second_trajectory(path)
    takes_one = is_text and (reader.single or format in ONE_DESPITE_CODE)
    count, last, text = 0, None, ""
    try:
        for atoms in _read(path, format, is_text):
            if "dlp4_labels" in atoms.arrays:
                _name_elements_of_dl_poly(atoms, Symbols(options), frame_name(path, count))
            if is_text and format in STATED:
                take_charge(atoms, format, text := text or read_text(path))
            yield atoms
            count, last = count + 1, atoms
    except StructureFileError:
        raise
    except Exception:
        if takes_one:  # several structures may be the reason
            _refuse_second_structure(path, format, None)
        raise
    if takes_one and count == 1:
        _refuse_second_structure(path, format, last)


def _refuse_second_structure(path: Path, format: str, whole: Atoms | None) -> None:
    reader = ioformats[format]

    def read(text: str) -> list[Atoms]:
        arguments = () if reader.single else (slice(None),)
        return list(reader.read(_as_file(text, path), *arguments))

    refuse_second_structure(path, format, read_text(path), whole, read)


def _read(path: Path, format: str, is_text: bool) -> Iterator[Atoms]:
    reader = ioformats[format]
    if is_text and reader.single and reader.acceptsfd:
        yield from iread(_as_file(read_text(path), path), index=":", format=format)
    elif is_text and reader.acceptsfd:
        with decompressing(path), open_text(path) as file:
            yield from iread(file, index=":", format=format)
    elif is_text and not is_plain_text(path):
        with tempfile.TemporaryDirectory() as folder:  # for readers that open files themselves
            copy = Path(folder, without_compression(path))
            copy.write_text(read_text(path), encoding="utf-8")
            yield from iread(str(copy), index=":", format=format, do_not_split_by_at_sign=True)
    else:
        yield from iread(str(path), index=":", format=format, do_not_split_by_at_sign=True)


def _as_file(text: str, path: Path) -> io.StringIO:
    """What ASE's readers take for an open file, whose name some of them ask for."""
    file = io.StringIO(with_plain_exponents(text))
    file.name = str(path)
    return file


def _has_zero_bytes(path: Path) -> bool:
    with decompressing(path), open_bytes(path) as file:
        start = file.read(4096)
    return b"\0" in start and start[:2] not in (b"\xff\xfe", b"\xfe\xff")


def _name_elements_of_dl_poly(atoms: Atoms, symbols: Symbols, place: str) -> None:
    """Names such as OW and CL, of which ASE takes the first letter."""
    names = [
        symbol + label
        for symbol, label in zip(atoms.symbols, atoms.arrays["dlp4_labels"], strict=True)
    ]
    try:
        atoms.symbols = [symbols[name][0] for name in names]
    except ValueError as error:
        raise StructureFileError(f"{place}: {error}.") from error


def _refuse_second_trajectory(path: Path) -> None:
    """ASE's reader goes by the first of several trajectories that were joined to one file."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(TRAJECTORY, len(TRAJECTORY))
    if at > 0:
        raise StructureFileError(
            f"{path} consists of several trajectories, of which ASE would read only the first: "
            f"another begins at byte {at}. Join them with `ase convert a.traj b.traj both.traj`."
        )
