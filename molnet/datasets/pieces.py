"""Frames of structure files as pieces of a store: what is done with frames one by one.

A piece is made from its frames alone, by any process. What depends on the frames before is done
where pieces are put together, in the order of the frames.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from molnet import __version__
from molnet.datasets.columns import Arrays, columns_beside
from molnet.datasets.labels import LabelKey, read_label
from molnet.datasets.rows import Rows
from molnet.datasets.tally import Tally
from molnet.graph.frames import (
    FrameRange,
    ReadingOptions,
    StructureFileError,
    frame_name,
    read_frames,
)
from molnet.graph.neighbours import StructureError
from molnet.graph.plausibility import drop_placeholder_cell, implausible

PART = 1 << 22
"""Bytes of an XYZ file that are read one without the others."""

FRAMES, ATOMS = 4096, 200_000
"""Of a piece, unless it is a single frame."""

FORMAT = [1, __version__, PART, FRAMES, ATOMS]
"""What a piece on the disk depends on beside its frames."""

BLOCK, ATOMS_OF_BLOCK = 256, 20_000
"""Frames and atoms that are looked at together."""


class DamagedPieceError(ValueError):
    """A file is no piece, or another one than was written."""


@dataclass
class Kept:
    """Structures of a piece.

    Attributes:
        arrays: see :meth:`molnet.datasets.rows.Rows.take`; ``group`` counts the piece's own.
        tally: of these structures.
        columns: in how many of them each column occurs.
    """

    arrays: Arrays
    tally: Tally
    columns: dict[str, int]


@dataclass
class Piece:
    """Frames of one file that follow one another.

    Attributes:
        first: number of the first frame, counted from 0 in the file.
        frames: how many.
        left_out: numbers of the frames that have no label.
        isolated_frames: numbers of the frames of isolated atoms.
        remarks: sentences about frames, and for how many each holds.
        column_names: in the order in which they occur.
        groups: values of ``split_by``, likewise.
        structures: those with labels; the tally also counts what is counted for all frames.
        isolated: isolated atoms.
    """

    first: int
    frames: int
    left_out: list[int]
    isolated_frames: list[int]
    remarks: dict[str, int]
    column_names: list[str]
    groups: list[str]
    structures: Kept
    isolated: Kept

    def to_bytes(self) -> bytes:
        """The piece for a file; its SHA-256 stands before it."""
        plain = vars(self) | {"format": FORMAT}
        arrays: Arrays = {}
        for name in _KEPT:
            kept: Kept = getattr(self, name)
            plain[name] = {"tally": kept.tally.state(), "columns": kept.columns}
            arrays |= {f"{name}/{key}": array for key, array in kept.arrays.items()}
        file = io.BytesIO()
        text = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
        np.savez(file, allow_pickle=False, **arrays, plain=text)
        content = file.getvalue()
        return hashlib.sha256(content).digest() + content

    @classmethod
    def of_bytes(cls, content: bytes, keys: list[LabelKey]) -> "Piece":
        """The piece that :meth:`to_bytes` gave.

        Raises:
            DamagedPieceError: the bytes are others, or were written by another molnet.
        """
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            raise DamagedPieceError("the piece does not have its SHA-256")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            plain = json.loads(file["plain"].tobytes())
            if plain.pop("format") != FORMAT:
                raise DamagedPieceError("the piece is one of another molnet")
            arrays = {name: file[name] for name in file.files if name != "plain"}
        for name in _KEPT:
            plain[name] = Kept(
                {key.partition("/")[2]: arrays[key] for key in arrays if key.startswith(name)},
                Tally.of_state(keys, plain[name]["tally"]),
                plain[name]["columns"],
            )
        return cls(**plain)


_KEPT = ("structures", "isolated")


@dataclass(frozen=True)
class PieceReader:
    """How frames become pieces.

    Attributes:
        keys: of the labels.
        accept_implausible: distances and densities.
        reading: what the files leave open.
        split_by: a key of ``info``, whose values name groups.
        without_isolated_atoms: whether frames of isolated atoms are no structures.
    """

    keys: list[LabelKey]
    accept_implausible: bool
    reading: ReadingOptions
    split_by: str | None
    without_isolated_atoms: bool

    def pieces(
        self, path: Path, part: FrameRange | None, seen: Callable[[], None] = lambda: None
    ) -> Iterator[Piece]:
        """The frames of a file, or of a part of it, as pieces.

        Args:
            path: of the file.
            part: one of :func:`molnet.graph.frames.frame_ranges`; None: the whole file.
            seen: called for each frame.

        Raises:
            StructureFileError: a frame cannot be used. What was read before it is a piece, which
                comes before the error.
        """
        making = _Making(self, path, 0 if part is None else part.first)
        try:
            for block in _blocks(read_frames(path, self.reading, part)):
                for atoms, remarks in zip(block, self._remarks(block, path), strict=True):
                    making.add(atoms, remarks)
                    seen()
                    if making.is_full:
                        yield making.take()
        except StructureFileError:
            yield making.take()
            raise
        if making.frames:
            yield making.take()

    def _remarks(self, block: list[Atoms], path: Path) -> Iterator[list[str] | ValueError]:
        """For each structure sentences for the user, or what is wrong; drops placeholder cells."""
        notes = [drop_placeholder_cell(atoms, path) for atoms in block]
        doubts = _doubts(block)
        for note, doubt in zip(notes, doubts, strict=True):
            remarks = [note] if note else []
            if isinstance(doubt, StructureError):
                yield doubt
            elif doubt and not self.accept_implausible:
                yield StructureFileError(
                    f"{doubt} If the structure is meant to be like this, set "
                    "dataset.accept_implausible=true."
                )
            else:
                yield [*remarks, "implausible distances or density, accepted"] if doubt else remarks


class _Making:
    """A piece while it is made."""

    def __init__(self, reader: PieceReader, path: Path, first: int) -> None:
        self.reader = reader
        self.path = path
        self.labels = {name for key in reader.keys for name in (key.key, key.quantity.name)}
        self._begin(first)

    def _begin(self, first: int) -> None:
        properties = [key.quantity for key in self.reader.keys]
        self.first, self.frames = first, 0
        self.left_out: list[int] = []
        self.isolated_frames: list[int] = []
        self.remarks: Counter[str] = Counter()
        self.column_names: dict[str, None] = {}  # a set that keeps the order
        self.groups: dict[str, int] = {}
        self.structures, self.isolated = Rows(properties), Rows(properties)
        self.tally, self.isolated_tally = Tally(self.reader.keys), Tally(self.reader.keys)
        self.columns: Counter[str] = Counter()
        self.isolated_columns: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        atoms = self.structures.waiting_atoms + self.isolated.waiting_atoms
        return self.frames >= FRAMES or atoms >= ATOMS

    def add(self, atoms: Atoms, remarks: list[str] | ValueError) -> None:
        """Take in the next frame.

        Raises:
            StructureFileError: it cannot be used.
        """
        frame = self.first + self.frames
        try:
            if isinstance(remarks, ValueError):
                raise remarks
            row = self._row(atoms)
        except (StructureFileError, StructureError) as error:
            raise StructureFileError(f"{frame_name(self.path, frame)}: {error}") from error
        self.remarks.update(remarks)
        labels, charge, columns = row["labels"], row["charge"], row["columns"]
        if self.reader.without_isolated_atoms and self.tally.is_reference(atoms, labels):
            self.isolated_frames.append(frame)
            self.isolated.add(**row)
            self.isolated_tally.add(labels, charge)
            self.isolated_tally.add_reference(atoms.numbers, labels)
            self.isolated_columns.update(columns.keys())
        elif labels and all(value is None for value in labels.values()):
            self.left_out.append(frame)
            self.tally.unlabelled += 1
        else:
            self.structures.add(**row)
            self.tally.add(labels, charge)
            self.columns.update(columns.keys())
        self.frames += 1

    def _row(self, atoms: Atoms) -> dict[str, Any]:
        """The arguments of :meth:`Rows.add`."""
        charge = self.tally.charge_of(atoms)
        group = None
        if self.reader.split_by is not None:
            value = _group_of(atoms, self.reader.split_by)
            group = self.groups.setdefault(value, len(self.groups))
        labels = {key.quantity.name: read_label(atoms, key) for key in self.reader.keys}
        self.tally.look_at(atoms)
        columns = columns_beside(self.labels, atoms)
        self.column_names |= dict.fromkeys(columns)
        return {
            "species": atoms.numbers,
            "positions": atoms.positions,
            "cell": atoms.cell.array,
            "pbc": atoms.pbc,
            "labels": labels,
            "charge": charge,
            "group": group,
            "columns": columns,
        }

    def take(self) -> Piece:
        """The piece of the frames since the last time."""
        piece = Piece(
            self.first,
            self.frames,
            self.left_out,
            self.isolated_frames,
            dict(self.remarks),
            list(self.column_names),
            list(self.groups),
            Kept(self.structures.take(), self.tally, dict(self.columns)),
            Kept(self.isolated.take(), self.isolated_tally, dict(self.isolated_columns)),
        )
        self._begin(self.first + self.frames)
        return piece


def _blocks(frames: Iterator[Atoms]) -> Iterator[list[Atoms]]:
    """Frames that are looked at together; those before an error come before the error."""
    block: list[Atoms] = []
    atoms_of_block = 0
    failure: Exception | None = None
    while failure is None:
        try:
            block.append(next(frames))
        except StopIteration:
            break
        except Exception as error:  # noqa: BLE001, it is raised after the frames before it
            failure = error
            continue
        atoms_of_block += len(block[-1])
        if len(block) == BLOCK or atoms_of_block >= ATOMS_OF_BLOCK:
            yield block
            block, atoms_of_block = [], 0
    if block:
        yield block
    if failure is not None:
        raise failure


def _doubts(block: list[Atoms]) -> list[str | StructureError | None]:
    """What is implausible of each structure, or the reason for which it is not sound."""
    # A search for all takes the largest radius, which costs time in crystals alone.
    molecules = [place for place, atoms in enumerate(block) if not atoms.pbc.any()]
    try:
        found = implausible([block[place] for place in molecules])
    except StructureError:
        found, molecules = {}, []  # looked at one by one, so that each has its own error
    doubts: list[str | StructureError | None] = [None] * len(block)
    for place, doubt in found.items():
        doubts[molecules[place]] = doubt
    for place in sorted(set(range(len(block))) - set(molecules)):
        try:
            doubts[place] = implausible([block[place]]).get(0)
        except StructureError as error:
            doubts[place] = error
    return doubts


def _group_of(atoms: Atoms, key: str) -> str:
    """The value of ``info[key]``, which names the structure's group."""
    if atoms.info.get(key) is None:
        raise StructureFileError(
            f"it has no {key!r} in its comment line (info), by which dataset.split_by={key} keeps "
            f"structures together. Found: {', '.join(map(repr, atoms.info)) or 'nothing'}."
        )
    return str(atoms.info[key])
