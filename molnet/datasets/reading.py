"""Structure files as pieces in the order of their frames: here, or in processes with a restart."""

import logging
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from molnet.datasets.pieces import PART, Piece, PieceReader
from molnet.datasets.reading_process import reading_processes
from molnet.datasets.unfinished import Task, Unfinished, state_of
from molnet.graph.frames import FrameRange, StructureFileError, count_frames, frame_ranges

logger = logging.getLogger(__name__)

LARGE = 1 << 24
"""Bytes of files; what is smaller is read faster than processes start."""

MOST_PROCESSES = 16
"""More would wait for the one that puts the pieces together."""


class MadeByAnotherError(Exception):
    """Another process has made the store in the meantime."""


def tasks_of(files: Sequence[Path], reader: PieceReader) -> tuple[list[Task], int | None]:
    """The parts of the files that are read one without the others, and the number of all frames.

    The number is None where it shows only when everything is read.

    Raises:
        StructureFileError: a file ends within a frame, or has a line out of place.
    """
    tasks: list[Task] = []
    total: int | None = 0
    for place, file in enumerate(files):
        state = state_of(file)
        parts = frame_ranges(file, PART, reader.reading)
        count = sum(part.count for part in parts) if parts else count_frames(file, reader.reading)
        total = None if total is None or count is None else total + count
        ranges: Sequence[FrameRange | None] = parts or [None]
        for part in ranges:
            tasks.append(Task(len(tasks), place, file, part, state))
    return tasks, total


def pieces_in_order(
    tasks: Sequence[Task], reader: PieceReader, store: Path, seen: Callable[[int], None]
) -> Generator[tuple[Task, Piece], None, None]:
    """The pieces of all files, in the order of files and frames, whoever reads them.

    Of small files nothing is kept on the disk. Of large ones the pieces are, until
    :func:`remove_pieces` is called. Close the generator, also after an error: that ends processes.

    Args:
        tasks: see :func:`tasks_of`.
        reader: what makes pieces.
        store: the folder of the store that is built.
        seen: called with the number of frames that have been read.

    Yields:
        The part of the files, and a piece of it.

    Raises:
        StructureFileError: a frame cannot be used, the first one of them in that order.
        ReadingProcessError: a process was killed.
        MadeByAnotherError: the store is there.
        OSError: the pieces cannot be written.
    """
    size = sum({task.path: task.state[0] for task in tasks}.values())
    if size < LARGE or len(tasks) == 1:
        for task in tasks:
            for piece in reader.pieces(task.path, task.part, lambda: seen(1)):
                yield task, piece
        return
    unfinished = Unfinished(folder_of(store), reader)
    rest = [task for task in tasks if not unfinished.has(task)]
    if len(rest) < len(tasks):
        logger.info(
            "going on with an interrupted build: %s of %s parts of the files have been read",
            f"{len(tasks) - len(rest):,}",
            f"{len(tasks):,}",
        )
    with closing(_done(tasks, rest, unfinished)) as done:  # ends processes before an error goes on
        for task in done:
            if store.is_dir():
                raise MadeByAnotherError
            for piece in unfinished.pieces(task):
                yield task, piece
                seen(piece.frames)


def _done(
    tasks: Sequence[Task], rest: Sequence[Task], unfinished: Unfinished
) -> Generator[Task, None, None]:
    """Each task when its pieces are on the disk, or when a frame of it cannot be used."""
    processes = min(processors(), len(rest), MOST_PROCESSES)
    if processes > 1 and os.name != "nt":  # Windows hands over no end of a pipe
        with reading_processes(processes, unfinished) as begin:
            begun = {task.number: begin(task) for task in rest}
            for task in tasks:
                if task.number in begun:
                    begun.pop(task.number).result()
                yield task
        return
    for task in tasks:
        if not unfinished.has(task):
            with suppress(StructureFileError):  # found again, after the pieces before it
                unfinished.write(task)
        yield task


def remove_pieces(store: Path) -> None:
    """Remove the pieces of a store that is complete, or that cannot be built of these files."""
    shutil.rmtree(folder_of(store), ignore_errors=True)


def folder_of(store: Path) -> Path:
    """Where the pieces of a store are kept."""
    return store.with_name(f"{store.name}.unfinished")


def processors() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
