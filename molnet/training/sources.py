"""From a data set and its store to its split, and the elements of its parts."""

import logging
from collections.abc import Iterable

import numpy as np

from molnet.datasets.base import DataSet
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.manifest import parts_of_files
from molnet.datasets.splits import Split, load_split, random_split
from molnet.datasets.store import ArrayStore
from molnet.graph.elements import SYMBOLS
from molnet.training.config import ConfigError
from molnet.training.data import DataModule

log = logging.getLogger(__name__)


def draw_split(store: ArrayStore, data_set: DataSet) -> Split:
    """The split of a data set: by its seed, by files of their own, or read from a file.

    A number of structures in the settings that is not that of the split or of the file is told.

    Raises:
        SplitError: the split does not fit the data set.
    """
    if data_set.split is not None:
        split = load_split(
            data_set.split, len(store), store.checksum, structures=store.structures_checksum
        )
        _tell_of_sizes(data_set, split, split.parts, "dataset.split")
        return split
    own = parts_of_files(store.manifest)  # they come last
    n = len(store) - sum(map(len, own.values()))
    drawn = random_split(
        n,
        data_set.train_size,
        0 if "validation" in own else data_set.validation_size,
        0 if "test" in own else data_set.test_size,
        data_set.split_seed,
        None if store.group is None else store.group[:n],
    )
    split = Split(**(drawn.parts | own), seed=drawn.seed)
    _tell_of_sizes(data_set, split, own, "the file of this part")
    return split


def _tell_of_sizes(data_set: DataSet, split: Split, parts: Iterable[str], decides: str) -> None:
    for name in parts:
        wanted, found = getattr(data_set, f"{name}_size"), len(split.parts[name])
        if isinstance(wanted, int) and wanted != found:
            log.info(
                "note: dataset.%s_size=%d is not used: %s decides, with %d structures",
                *(name, wanted, decides, found),
            )


def elements_of(part: GraphDataset) -> list[int]:
    """Atomic numbers that occur in a part of a data set, ascending."""
    rows, _ = rows_of(part.store.offsets, part.indices)
    return [int(number) for number in np.unique(part.store.species[rows])]


def training_elements(data: DataModule) -> list[int]:
    """Atomic numbers in the training part, which must cover the other parts.

    Raises:
        ConfigError: another part holds an element that could not be learned.
    """
    known = elements_of(data.parts["train"])
    for name, part in data.parts.items():
        unseen = [SYMBOLS[number] for number in elements_of(part) if number not in known]
        if unseen:
            raise ConfigError(
                f"the {name} part holds {', '.join(unseen)}, but no training structure does. Leave "
                "these structures out, add training structures with these elements, or choose "
                "another dataset.split_seed."
            )
    return known
