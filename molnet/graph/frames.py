"""Frames of structure files, one after the other, with faults named by file and frame."""

import difflib
import glob
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import ase.db
import ase.io
from ase import Atoms
from ase.io.extxyz import read_xyz
from ase.io.formats import UnknownFileTypeError, filetype, open_with_compression

from molnet.cache import from_home

XYZ_FORMATS = ("xyz", "extxyz")
DATABASE_FORMATS = ("db", "json")


class StructureFileError(ValueError):
    """A structure file, or one frame of it, that cannot be read or is not sound."""


def frame_name(path: Path, frame: int) -> str:
    """How messages name a frame; frames are counted from 0, as ASE does."""
    return f"{path}, frame {frame}"


def resolve_paths(path: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files that a path, a glob such as ``runs/*/out.xyz``, or several of these stand for.

    Raises:
        FileNotFoundError: nothing is there; the message names the nearest file.
        StructureFileError: a folder or an empty file.
    """
    if not isinstance(path, str | Path):
        paths = [file for part in path for file in resolve_paths(part)]
        if not paths:
            raise ValueError("expected at least one structure file, got an empty list")
        return paths
    given = from_home(path)
    if given.exists():
        paths = [given]
    else:
        paths = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]
        paths = [file for file in paths if file.is_file()]
    if not paths:
        raise FileNotFoundError(_not_found(given))
    for file in paths:
        if file.is_dir():
            raise StructureFileError(
                f"expected a structure file, got the folder {file}. Name a file in it, or several "
                f"with a glob such as '{file}/*.xyz'."
            )
        if file.stat().st_size == 0:
            raise StructureFileError(f"{file} is empty. Expected at least one structure.")
    return paths


def read_frames(path: Path) -> Iterator[Atoms]:
    """The structures of any file that ASE reads, one at a time.

    Extended XYZ files (also compressed ones) are cut into frames here: ASE's reader takes a blank
    line for the end of the file, and cannot tell which frame is at fault. ASE databases come with
    their key-value pairs and data in ``info``.

    Raises:
        StructureFileError: the file's format is not known, it ends within a frame, a frame cannot
            be read, or there is none.
    """
    reader = _reader(path)
    frame = 0
    while True:
        try:
            atoms = next(reader)
        except StopIteration:
            break
        except StructureFileError:
            raise
        # ASE's eighty readers fail with errors of any kind; none is swallowed.
        except Exception as error:
            raise StructureFileError(
                f"{frame_name(path, frame)} cannot be read: {type(error).__name__}: {error}. "
                "Repair the file, or leave this frame out."
            ) from error
        yield atoms
        frame += 1
    if frame == 0:
        raise StructureFileError(f"{path} holds no structure. Expected at least one.")


def count_frames(path: Path) -> int | None:
    """How many structures an XYZ file holds; None for a format that has to be read to know.

    Raises:
        StructureFileError: the file ends within a frame, or has a line out of place.
    """
    if _format(path) not in XYZ_FORMATS:
        return None
    with _decompressing(path), open_with_compression(str(path), "rt") as file:
        return sum(1 for _ in _xyz_blocks(file, path))


def check_ending(path: Path) -> None:
    """Refuses an XYZ file whose last line is not ended: it may have been cut within a number.

    Raises:
        StructureFileError: when the last byte is not a line end.
    """
    if _format(path) not in XYZ_FORMATS or path.suffix in (".gz", ".bz2", ".xz"):
        return  # a cut compressed file fails by itself
    with open(path, "rb") as file:
        file.seek(-1, io.SEEK_END)
        if file.read(1) not in (b"\n", b"\r"):
            raise StructureFileError(
                f"{path} does not end with a line end, so it may have been cut within its last "
                "number. Fetch or write it again; if it is whole, add an empty line at its end."
            )


def _not_found(given: Path) -> str:
    folder = given.parent
    if not folder.is_dir():
        return f"no structure file {given}: there is no folder {folder}"
    names = [entry.name for entry in folder.iterdir()]
    nearest = difflib.get_close_matches(given.name, names, n=1)
    hint = f" Did you mean {str(folder / nearest[0])!r}?" if nearest else ""
    return f"no structure file {given} (working folder: {Path.cwd()}).{hint}"


@contextmanager
def _decompressing(path: Path) -> Iterator[None]:
    """Says which file it is that cannot be decompressed or decoded."""
    try:
        yield
    except (EOFError, OSError, zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's own error, which names the file
        raise StructureFileError(
            f"{path} is damaged or was cut short: {error}. Fetch or write it again."
        ) from error


def _format(path: Path) -> str:
    try:
        with _decompressing(path):
            return str(filetype(str(path)))
    except UnknownFileTypeError as error:
        raise StructureFileError(
            f"ASE does not recognise the format of {path}: {error}. Convert it to extended XYZ, "
            "or give it the file name suffix of its format."
        ) from error


def _reader(path: Path) -> Iterator[Atoms]:
    format = _format(path)
    if format in XYZ_FORMATS:
        return _read_xyz(path)
    if format in DATABASE_FORMATS:
        return _read_database(path)
    return iter(ase.io.iread(str(path), index=":", format=format, do_not_split_by_at_sign=True))


def _read_database(path: Path) -> Iterator[Atoms]:
    with ase.db.connect(path, serial=True) as database:
        for row in database.select():
            atoms = row.toatoms(add_additional_information=True)
            for group in ("key_value_pairs", "data"):
                atoms.info.update(atoms.info.pop(group, {}))
            yield atoms


def _read_xyz(path: Path) -> Iterator[Atoms]:
    with _decompressing(path), open_with_compression(str(path), "rt") as file:
        for block in _xyz_blocks(file, path):
            yield next(iter(read_xyz(io.StringIO(block), index=0)))


def _xyz_blocks(file: IO[str], path: Path) -> Iterator[str]:
    """The text of each frame: the number of atoms, the comment, the atoms, at times VEC lines."""
    frame = 0
    line = file.readline()
    while line:
        if not line.strip():
            line = file.readline()
            continue
        try:
            atoms = int(line)
        except ValueError as error:
            raise StructureFileError(
                f"{frame_name(path, frame)}: expected a line with the number of atoms, got "
                f"{line.strip()[:80]!r}. The frame before it may have more or fewer lines than "
                "it says."
            ) from error
        comment = file.readline()
        rows = list(islice(file, atoms))
        if len(rows) < atoms or not comment:
            raise StructureFileError(
                f"{frame_name(path, frame)}: expected {atoms} atoms, but the file ends after "
                f"{len(rows)}: it was cut short. Fetch or write it again, or remove this frame."
            )
        first_line, line = line, file.readline()
        while line.lstrip().startswith("VEC"):
            rows.append(line)
            line = file.readline()
        yield first_line + comment + "".join(rows)
        frame += 1
