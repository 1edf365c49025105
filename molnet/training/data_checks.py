"""Whether data and target belong together: what is refused, and what the user should know."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from molnet.datasets.charges import check_sums, count_charges, count_odd
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.manifest import origin_of
from molnet.datasets.store import ArrayStore
from molnet.graph import StructureError, unwrapped
from molnet.models.heads import HEADS
from molnet.models.tensor_heads import symmetry_missed
from molnet.models.total_charge import listed
from molnet.training.data import DataModule

Heads = Mapping[str, Mapping[str, Any]]

CHECKED_TOGETHER = 64  # structures

SYMMETRY_LOOKED_AT = 1000  # structures
SYMMETRY_MISSED = 1e-3
"""What tensors lack of their symmetry, relative to their size, and rounding does not explain."""


def check_charges(store: ArrayStore, heads: Heads) -> None:
    """Compares labels of partial charges with the total charges of the structures.

    Raises:
        ValueError: they contradict each other; the message names file and frame.
    """
    summing = [name for name, head in heads.items() if head.get("kind") == "charges"]
    check_sums(store, [name for name in summing if name in store.labels])


def check_molecules(part: GraphDataset, heads: Heads) -> None:
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


def notes_on_charges(data: DataModule, heads: Heads) -> list[str]:
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


def notes_on_symmetry(data: DataModule, heads: Heads) -> list[str]:
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
