"""Structures as commands read them from files, with their places."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from molnet.graph import drop_placeholder_cell
from molnet.graph.frames import ReadingOptions, frame_name, read_frames, resolve_paths
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


def distinct_names(files: Sequence[Path]) -> list[str]:
    """A name of its own for each file: its stem, with folders before it where stems are the same.

    A file that is given again has a number.

    >>> distinct_names([Path("a/mol.xyz"), Path("b/mol.xyz"), Path("b/ion.xyz"), Path("b/ion.xyz")])
    ['a/mol', 'b/mol', 'ion', 'ion (2)']
    """
    names = {file: file.stem for file in files}
    for depth in range(2, max(len(file.parts) for file in files) + 1):
        seen = Counter(names.values())
        for file, name in names.items():
            if seen[name] > 1:
                names[file] = str(Path(*file.parts[-depth:]).with_suffix(""))
    given: Counter[Path] = Counter()
    distinct = []
    for file in files:
        given[file] += 1
        distinct.append(names[file] + ("" if given[file] == 1 else f" ({given[file]})"))
    return distinct


class Named(NamedTuple):
    """A structure of a file, with the name and the folder of its results."""

    frame: Frame
    name: str
    folder: Path


def with_folders(
    input: str | Path | Sequence[str | Path],
    output: str | Path | None,
    done: str,
    of_several: str,
    reading: ReadingOptions | None = None,
) -> Iterator[Named]:
    """The structures of files, each with a folder of its own.

    Args:
        input: a file that ASE reads, a glob, or several.
        output: the folder; by default ``NAME.DONE`` in the working folder. The folders of several
            structures lie in it.
        done: what is done with the structures.
        of_several: the default name of the folder for several files.
        reading: what the files leave open.

    Raises:
        StructureFileError: as :func:`molnet.graph.frames.read_frames`.
    """
    files = resolve_paths(input)
    folder = Path(default_name(files, done, of_several) if output is None else output)
    for file, of_file in zip(files, distinct_names(files), strict=True):
        frames = list(frames_of(file, reading or ReadingOptions()))
        for frame in frames:
            name = of_file if len(frames) == 1 else f"{of_file} {frame.number}"
            alone = len(files) == len(frames) == 1
            own = name.strip("/").replace(" ", "-").replace("/", "-")
            yield Named(frame, name, folder if alone else folder / own)


def default_name(files: Sequence[Path], done: str, of_several: str) -> str:
    """The default name of a result, in the working folder.

    Args:
        files: the inputs.
        done: what was done with them: ``NAME.DONE``.
        of_several: the name for several inputs.

    >>> default_name([Path("runs/water.300K.xyz.gz")], "md", "dynamics.md")
    'water.300K.md'
    """
    if len(files) > 1:
        return of_several
    name = files[0].name
    for compression in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(compression)
    return f"{Path(name).stem}.{done}"


def default_output(files: Sequence[Path], done: str, of_several: str) -> Path:
    """The same of a file with structures: ``NAME.DONE.extxyz``."""
    return Path(f"{default_name(files, done, of_several)}.extxyz")
