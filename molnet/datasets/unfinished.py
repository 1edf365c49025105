"""Pieces of a store that is being built, on the disk beside it, to go on from after a kill.

The folder's name is that of the store, which follows from the checksums of all files and from
every setting, with ``.unfinished``. A piece appears in one step and is compared with its checksum.
So several builds may share a folder, and may remove it at any time: what is missing is read again.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from molnet.datasets.cache import writing
from molnet.datasets.pieces import DamagedPieceError, Piece, PieceReader
from molnet.graph.frames import FrameRange, StructureFileError
from molnet.stored import check_seal, partial_path, read_object, sealed, write_durably


@dataclass(frozen=True)
class Task:
    """A part of the files, which is read by one process.

    Attributes:
        number: in the order of files and frames.
        file: the place of the file in the list of all files.
        path: of the file.
        part: of the file; None: all of it.
        state: size and time of change of the file.
    """

    number: int
    file: int
    path: Path
    part: FrameRange | None
    state: tuple[int, int]

    def check_state(self) -> None:
        """Raise StructureFileError if the file has changed."""
        if state_of(self.path) != self.state:
            raise StructureFileError(
                f"{self.path} has changed while it was read. Start again when it is complete."
            )


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of change of a file."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Unfinished:
    """The folder of the pieces.

    Attributes:
        folder: its place.
        reader: what makes pieces.
    """

    folder: Path
    reader: PieceReader

    def has(self, task: Task) -> bool:
        """Whether all pieces of a task have been written."""
        return self._end(task).exists()

    def write(self, task: Task, look: Callable[[], None] = lambda: None) -> None:
        """Read a part of the files, and write its pieces.

        Args:
            task: the part.
            look: called for each frame.

        Raises:
            StructureFileError: a frame cannot be used, or the file has changed.
            OSError: the pieces cannot be written.
        """
        number = 0
        for number, piece in enumerate(self.reader.pieces(task.path, task.part, look), start=1):
            self._write(self._piece(task, number - 1), piece.to_bytes())
        task.check_state()
        self._write(self._end(task), json.dumps(sealed({"pieces": number})).encode())

    def pieces(self, task: Task) -> Iterator[Piece]:
        """The pieces of a task; what is missing or damaged is read again.

        Raises:
            StructureFileError: a frame cannot be used.
        """
        count, first = self._count(task), 0 if task.part is None else task.part.first
        for number in range(count):
            try:
                piece = Piece.of_bytes(self._piece(task, number).read_bytes(), self.reader.keys)
                if piece.first != first:
                    raise DamagedPieceError("the piece is another one")
            except (OSError, DamagedPieceError):
                count = number
                break
            yield piece
            first += piece.frames
        else:
            if count:
                return
        yield from islice(self.reader.pieces(task.path, task.part), count, None)
        task.check_state()

    def _write(self, path: Path, content: bytes) -> None:
        with writing(self.folder.parent):
            while True:
                self.folder.mkdir(parents=True, exist_ok=True)
                partial = partial_path(path)
                try:
                    write_durably(partial, content)
                    partial.replace(path)
                    return
                except FileNotFoundError:
                    pass  # another build of the same store has just finished
                except OSError:
                    partial.unlink(missing_ok=True)
                    raise

    def _count(self, task: Task) -> int:
        """How many pieces a task has on the disk; 0 if that is not known."""
        path = self._end(task)
        try:
            end = read_object(path)
            check_seal(end, path.name)
            return int(end["pieces"])
        except (OSError, ValueError):
            return 0

    def _piece(self, task: Task, number: int) -> Path:
        return self.folder / f"{task.number:06d}-{number:06d}.piece"

    def _end(self, task: Task) -> Path:
        return self.folder / f"{task.number:06d}.pieces"
