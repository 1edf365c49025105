"""From the settings of a data set to its store and its split."""

import numpy as np

from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.qm9 import open_qm9
from molnet.datasets.splits import Split, random_split
from molnet.datasets.store import ArrayStore
from molnet.datasets.structures import open_structures
from molnet.graph.elements import SYMBOLS
from molnet.graph.frames import ReadingOptions, units_in_files
from molnet.properties import Property
from molnet.training.config import ConfigError, DataConfig, QM9Config, StructuresConfig
from molnet.training.data import DataModule


def open_store(
    dataset: DataConfig, properties: list[str], declared: dict[str, Property]
) -> ArrayStore:
    """The store of a data set, with labels for ``properties``.

    Raises:
        ConfigError: the settings do not say where a label is found, or in which unit it is.
        ValueError: the data cannot be used; the message names file and frame.
    """
    if isinstance(dataset, QM9Config):
        return open_qm9(dataset.source, dataset.cache, dataset.verify)
    if not isinstance(dataset, StructuresConfig):
        raise TypeError(f"expected a StructuresConfig or QM9Config, got {dataset!r}")
    reading = reading_options(dataset)
    declared_units = units_in_files(dataset.path, reading)
    labels: dict[str, dict[str, str]] = {}
    for name in properties:
        label = dataset.labels.get(name)
        if name == "stress" and "virial" in dataset.labels:
            name, label = "virial", dataset.labels["virial"]
        if label is None:
            raise ConfigError(
                f"the target {name!r} needs labels: say where they are with "
                f"'+dataset.labels.{name}={{key: KEY, unit: UNIT}}'"
            )
        if label.unit is None and label.key not in declared_units:
            raise ConfigError(
                f"the unit of {name!r} is not given: add dataset.labels.{name}.unit=UNIT, the unit "
                f"of the values in your files, e.g. eV"
            )
        labels[name] = {"key": label.key, "unit": label.unit or ""}
    return open_structures(
        dataset.path,
        labels,
        dataset.name,
        dataset.cache,
        declared,
        dataset.verify,
        dataset.accept_implausible,
        reading,
    )


def reading_options(dataset: StructuresConfig) -> ReadingOptions:
    """What the settings say about the files.

    Raises:
        ConfigError: an element, a unit or a way to treat disorder that is not known.
    """
    try:
        return ReadingOptions.of(
            dataset.format, dataset.elements, dataset.positions_unit, dataset.disorder
        )
    except ValueError as error:
        raise ConfigError(f"dataset: {error}") from error


def draw_split(store: ArrayStore, dataset: DataConfig) -> Split:
    """The split of a data set by its seed."""
    return random_split(
        len(store),
        dataset.train_size,
        dataset.validation_size,
        dataset.test_size,
        dataset.split_seed,
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
