"""Checks of the data against the target: errors, and notes for the user."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from molnet.datasets.charges import check_sums, count_charges, count_odd
from molnet.datasets.dataset import GraphDataset, rows_of
from molnet.datasets.duplicates import count_shared
from molnet.datasets.energy_and_forces import Agreement, agreement, units_that_fit
from molnet.datasets.manifest import origin_of
from molnet.datasets.store import ArrayStore
from molnet.graph import StructureError, unwrapped
from molnet.models.kinds import head_class
from molnet.models.tensor_heads import symmetry_missed
from molnet.models.total_charge import listed
from molnet.training.data import DataModule

Heads = Mapping[str, Mapping[str, Any]]

CHECKED_TOGETHER = 64  # structures
CHUNK = 8192  # structures whose labels are held in memory at a time

SYMMETRY_LOOKED_AT = 1000  # structures
SYMMETRY_MISSED = 1e-3
"""Relative deviation of tensors from their symmetry that rounding does not explain."""


def check_charges(store: ArrayStore, heads: Heads) -> None:
    """Compares labels of partial charges with the total charges of the structures.

    Raises:
        ValueError: partial and total charges disagree; the message names file and frame.
    """
    summing = [name for name, head in heads.items() if head.get("kind") == "charges"]
    check_sums(store, [name for name in summing if name in store.labels])


def check_forces(part: GraphDataset, heads: Heads, accepted: bool = False) -> None:
    """Compares changes of the energy between similar structures with the work of the forces.

    Args:
        part: the training part.
        heads: settings of the heads.
        accepted: warn instead of raising.

    Raises:
        ValueError: the two have units, or a sign, that do not fit each other.
    """
    labels = part.store.labels
    for name, head in heads.items():
        if not head.get("forces") or name not in labels or "forces" not in labels:
            continue
        found = agreement(part.store, part.indices, name)
        if found is None or not found.is_broken:
            continue
        message = _disagreement(part.store, found, name)
        if not accepted:
            raise ValueError(
                f"{message} dataset.accept_implausible=true trains on them as they are."
            )
        warnings.warn(message, stacklevel=2)


def _disagreement(store: ArrayStore, found: Agreement, name: str) -> str:
    first, second = (origin_of(store.manifest, index, store.path) for index in found.example)
    declared = store.manifest["source"].get("labels", {})
    units = [declared.get(each, {}).get("unit") for each in (name, "forces")]
    falls = ", and falls where they say that it rises" if found.ratio < 0 else ""
    advice = "Are their units as declared, and that of the positions?"
    if found.ratio < 0:
        advice = "Forces are minus the derivatives of the energy: are these the derivatives?"
    elif all(units) and (fit := units_that_fit(found.ratio, *units)):
        read = f"{name} in {units[0]} and forces in {units[1]}"
        advice = f"They were read as {read}; {' or '.join(fit[:2])} would fit."
    return (
        f"{name} and forces do not belong together. Between similar structures ({found.pairs:,} "
        f"pairs) the energy changes {abs(found.ratio):.3g} times as much as the forces say{falls}: "
        f"from {first} to {second} by {found.change:.3g} eV, where the forces say "
        f"{found.work:.3g} eV (correlation {found.correlation:.2f}). {advice}"
    )


def check_molecules(part: GraphDataset, heads: Heads) -> None:
    """If a head needs molecules, checks that every periodic structure is one.

    Raises:
        ValueError: a structure is not a molecule; the message names file and frame.
    """
    store = part.store
    needing = [name for name, head in heads.items() if head_class(head["kind"]).uses_positions]
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
    """Notes for the user on the total charges in the data and their effect on the model."""
    counts = count_charges(data.parts["train"])
    kinds = {head.get("kind") for head in heads.values()}
    notes = []
    for name, part in data.parts.items():
        unseen = [charge for charge in count_charges(part) if charge not in counts]
        if unseen:
            notes.append(
                f"the {name} part holds total charges that no training structure has: "
                f"{listed(unseen)} e. Choose another dataset.split_seed, or add structures with "
                "these charges."
            )
    if len(counts) > 1 and kinds - {"charges", "dipole"}:
        found = ", ".join(f"{listed([charge])} ({n:,})" for charge, n in counts.items())
        notes.append(
            f"the structures have different total charges in e: {found}. The network does not see "
            "the total charge: partial charges and dipoles add up to it, but the energy depends "
            "on the geometry alone."
        )
    if kinds & {"charges", "dipole"} and (odd := count_odd(data.parts["train"])):
        notes.append(
            f"{odd:,} training structures have an odd number of electrons: radicals, or ions whose "
            "total charge is not stated (atoms.info['charge'])?"
        )
    if "dipole" in kinds and set(counts) != {0}:
        notes.append(
            "the dipole of an ion depends on the origin. It is predicted about the centre of mass; "
            "the labels must have the same origin."
        )
    return notes


def notes_on_duplicates(data: DataModule) -> list[str]:
    """Notes for the user on structures that are in the training part and in another one."""
    notes = []
    known = data.parts["train"].indices
    for name, part in data.parts.items():
        if part.indices is known:
            if name != "train":
                notes.append(
                    f"the {name} part is empty, and the training part takes its place: the errors "
                    f"of the {name} part are those of structures that the model was trained on. "
                    f"dataset.{name}_size=... keeps some apart"
                )
            continue
        if shared := count_shared(data.store, part.indices, known):
            notes.append(
                f"{shared:,} of {len(part):,} {name} structures are also in the training part (the "
                f"same atoms at the same places): the errors of the {name} part look smaller than "
                "they are for new structures."
            )
    return notes


def notes_on_labels(data: DataModule) -> list[str]:
    """Notes for the user on parts in which a property of the loss has no label at all."""
    notes = []
    for name, part in data.parts.items():
        for label in part.properties:
            if len(part) and not _has_label(part, label):
                chosen = ": the best epoch is chosen without it" if name == "validation" else ""
                notes.append(f"no {name} structure has a label for {label}{chosen}")
    return notes


def _has_label(part: GraphDataset, name: str) -> bool:
    """Whether any structure of the part has a label, or any atom of one."""
    for start in range(0, len(part), CHUNK):
        rows = part.indices[start : start + CHUNK]
        if part.properties[name].per == "atom":
            rows, _ = rows_of(part.store.offsets, rows)
        if not np.isnan(part.store.labels[name][rows]).all():
            return True
    return False


def notes_on_symmetry(data: DataModule, heads: Heads) -> list[str]:
    """Notes for the user on labels without the index symmetries of the predicted tensors."""
    notes = []
    part = data.parts["train"]
    for name, head in heads.items():
        formula = "ij=ji" if head["kind"] == "polarizability" else head.get("cartesian", "")
        if not formula or name not in part.store.labels:
            continue
        rows = part.indices[:SYMMETRY_LOOKED_AT]
        if part.properties[name].per == "atom":
            rows, _ = rows_of(part.store.offsets, rows)
        labels = part.store.labels[name][rows]
        present = ~np.isnan(labels).any(axis=tuple(range(1, labels.ndim)))
        missed = symmetry_missed(labels[present], formula)
        if missed > SYMMETRY_MISSED:
            notes.append(
                f"{name}: the predicted tensors have the index symmetries {formula}, but the "
                f"labels do not: {missed:.1%} of their size (RMS) cannot be learned. Write "
                "cartesian: ij to predict all components."
            )
    return notes
