"""Structures as commands read them from files, with their places."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from molnet.graph import drop_placeholder_cell
from molnet.graph.frames import ReadingOptions, frame_name, read_frames
from molnet.simulate.writing import Frame

logger = logging.getLogger(__name__)


def frames_of(file: Path, reading: ReadingOptions) -> Iterator[Frame]:
    """The frames of one file, without placeholder cells; the first of these is logged.

    Args:
        file: of any format that ASE reads.
        reading: what the user states about it.

    Raises:
        StructureFileError: as :func:`molnet.graph.frames.read_frames`.
    """
    told = False
    for number, atoms in enumerate(read_frames(file, reading)):
        note = drop_placeholder_cell(atoms, file)
        if note and not told:
            logger.warning("%s: %s", frame_name(file, number), note)
            told = True
        yield Frame(file, number, atoms)


def default_output(files: Sequence[Path], done: str, of_several: str) -> Path:
    """The default name of an output, in the working folder.

    Args:
        files: the inputs.
        done: what was done with them: ``NAME.DONE.extxyz``.
        of_several: the name for several inputs, without ``.extxyz``.
    """
    if len(files) > 1:
        return Path(f"{of_several}.extxyz")
    name = files[0].name
    for compression in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(compression)
    return Path(f"{Path(name).stem}.{done}.extxyz")
