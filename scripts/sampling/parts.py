"""From shards to one file for each part, without molecules that are held out elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

from sampling.molecules import small

PARTS = ("test", "validation", "train")
NAME = re.compile(r'name="([^"]*)" kind=(\w+)')

ORDINARY = {"relaxed", "md300", "md600", "md1000", "dimer", "complex", "cluster"}
"""The kinds that a user meets. The validation part holds these alone: it chooses the epoch and sets
the unit of the distance to the training set."""


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
            for name, kind, frame in frames_in(sorted((folder / part).glob("*.extxyz"))):
                names = set(name.split(".")) - small()
                wanted = part != "validation" or kind in ORDINARY
                if wanted and names.isdisjoint(held_out):
                    own |= names
                    counts[part] += 1
                    file.write(frame)
        held_out |= own
    return counts


def frames_in(files: list[Path]) -> Iterator[tuple[str, str, str]]:
    """The name, the kind and the text of every frame."""
    for path in files:
        with open(path) as file:
            while first := file.readline():
                comment = file.readline()
                found = NAME.search(comment)
                if found is None:
                    raise ValueError(f"{path}: a frame without name and kind: {comment.strip()}")
                atoms = [file.readline() for _ in range(int(first))]
                yield found[1], found[2], "".join([first, comment, *atoms])
