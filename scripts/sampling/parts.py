"""From shards to one file for each part, without molecules that are held out elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

from sampling.molecules import small

PARTS = ("test", "validation", "train")
NAME = re.compile(r'name="([^"]*)"')


def gather(folder: Path) -> dict[str, int]:
    """Writes ``train.extxyz``, ``validation.extxyz`` and ``test.extxyz`` from the shards.

    A molecule is in one part alone: a substituted molecule of the training part may be a molecule
    of the test part, and is left out then. Small molecules, which are beside others everywhere, do
    not count.

    Args:
        folder: with the shards in the folders ``train``, ``validation`` and ``test``.

    Returns:
        The number of frames of each part.
    """
    held_out: set[str] = set()
    counts = {}
    for part in PARTS:
        own: set[str] = set()
        counts[part] = 0
        with open(folder / f"{part}.extxyz", "w") as file:
            for name, frame in frames_in(sorted((folder / part).glob("*.extxyz"))):
                names = set(name.split(".")) - small()
                if names.isdisjoint(held_out):
                    own |= names
                    counts[part] += 1
                    file.write(frame)
        held_out |= own
    return counts


def frames_in(files: list[Path]) -> Iterator[tuple[str, str]]:
    """The name and the text of every frame."""
    for path in files:
        with open(path) as file:
            while first := file.readline():
                comment = file.readline()
                found = NAME.search(comment)
                if found is None:
                    raise ValueError(f"{path}: a frame without a name: {comment.strip()}")
                atoms = [file.readline() for _ in range(int(first))]
                yield found[1], "".join([first, comment, *atoms])
