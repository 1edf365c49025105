"""From the settings of a data set to its store and its split."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from molnet.datasets.charges import check_sums, count_charges, count_odd
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.manifest import origin_of
from molnet.datasets.qm9 import open_qm9
from molnet.datasets.splits import Split, random_split
from molnet.datasets.store import ArrayStore
from molnet.datasets.structures import open_structures
from molnet.graph import StructureError, unwrapped
from molnet.graph.elements import SYMBOLS
from molnet.graph.frames import ReadingOptions, units_in_files
from molnet.models.heads import HEADS
from molnet.models.tensor_heads import symmetry_missed
from molnet.models.total_charge import listed
from molnet.properties import Property
from molnet.training.config import ConfigError, DataConfig, QM9Config, StructuresConfig
from molnet.training.data import DataModule

CHECKED_TOGETHER = 64  # structures

SYMMETRY_LOOKED_AT = 1000  # structures
SYMMETRY_MISSED = 1e-3
"""What tensors lack of their symmetry, relative to their size, and rounding does not explain."""


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


def check_charges(store: ArrayStore, heads: Mapping[str, Mapping[str, Any]]) -> None:
    """Compares labels of partial charges with the total charges of the structures.

    Raises:
        ValueError: they contradict each other; the message names file and frame.
    """
    summing = [name for name, head in heads.items() if head.get("kind") == "charges"]
    check_sums(store, [name for name in summing if name in store.labels])


def check_molecules(part: GraphDataset, heads: Mapping[str, Mapping[str, Any]]) -> None:
    """Looks for periodic structures that are no molecules where a head needs molecules.

    Raises:
        ValueError: there is one; the message names file and frame.
    """
    store = part.store
    needing = [name for name, head in heads.items() if HEADS[head["kind"]].uses_positions]
    if store.pbc is None or not needing:
        return
    periodic = np.flatnonzero(store.pbc[part.indices].any(axis=1))
    for start in range(0, len(periodic), CHECKED_TOGETHER):
        chosen = periodic[start : start + CHECKED_TOGETHER]
        try:
            unwrapped(part.__getitems__(chosen.tolist()))
        except StructureError as error:
            index = int(part.indices[chosen[error.index]])
            place = origin_of(store.manifest, index, store.path)
            raise ValueError(f"{place}: for {needing[0]!r}, {error}") from error


def notes_on_charges(data: DataModule, heads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences for the user on what a model can make of the total charges of its data."""
    counts = count_charges(data.parts["train"])
    kinds = {head.get("kind") for head in heads.values()}
    notes = []
    for name, part in data.parts.items():
        unseen = [charge for charge in count_charges(part) if charge not in counts]
        if unseen:
            notes.append(
                f"the {name} part holds total charges that no training structure has: "
                f"{listed(unseen)} e. Choose another dataset.split_seed, or more such structures."
            )
    if len(counts) > 1 and kinds - {"charges", "dipole"}:
        found = ", ".join(f"{listed([charge])} ({n:,})" for charge, n in counts.items())
        notes.append(
            f"the structures have different total charges in e: {found}. The network does not see "
            "the total charge: partial charges and dipoles add up to it, but one geometry with two "
            "charges has one energy."
        )
    if kinds & {"charges", "dipole"} and (odd := count_odd(data.parts["train"])):
        notes.append(
            f"{odd:,} training structures have an odd number of electrons: radicals, or ions whose "
            "total charge is not stated (atoms.info['charge'])?"
        )
    if "dipole" in kinds and set(counts) != {0}:
        notes.append(
            "the dipole of an ion depends on the origin: it is predicted about the centre of mass, "
            "and the labels must be about it, too."
        )
    return notes


def notes_on_symmetry(data: DataModule, heads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences for the user on labels that lack the index symmetries of what is predicted."""
    notes = []
    part = data.parts["train"]
    for name, head in heads.items():
        formula = "ij=ji" if head["kind"] == "polarizability" else head.get("cartesian", "")
        if not formula or name not in part.store.labels:
            continue
        rows = part.indices[:SYMMETRY_LOOKED_AT]
        if part.properties[name].per == "atom":
            rows, _ = rows_of(part.store.offsets, rows)
        missed = symmetry_missed(part.store.labels[name][rows], formula)
        if missed > SYMMETRY_MISSED:
            notes.append(
                f"{name}: the labels do not have the index symmetries {formula} of what is "
                f"predicted; {missed:.1%} of their size (RMS) cannot be learned. Write cartesian: "
                "ij to predict all components."
            )
    return notes


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
