"""What is counted while structure files are read: labels, charges, spins, isolated atoms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from molnet.datasets.labels import LabelKey, places
from molnet.graph.charge import stated_spin, total_charge
from molnet.graph.frames import StructureFileError
from molnet.nearest import hint

LOOKED_AT_FIRST = 1000
"""A key that none of this many first frames has is taken for a wrong key."""

ALONE = 8.0
"""Å; an atom whose periodic images are further away than this is isolated."""


class LabelNotFoundError(StructureFileError):
    """No frame has a label under the key that is given for it."""


def is_isolated_atom(atoms: Atoms) -> bool:
    """Whether a frame is one neutral atom without neighbours.

    Its periodic images must be 8 Å away, unless ``info["config_type"]`` is ``IsolatedAtom`` or
    ``isolated_atom``.
    """
    if len(atoms) != 1 or total_charge(atoms) not in (0, None):
        return False
    kind = str(atoms.info.get("config_type", "")).lower().replace("_", "")
    lengths = atoms.cell.lengths()[atoms.pbc]
    return kind == "isolatedatom" or bool((lengths > ALONE).all())


class Tally:
    """Counts what is found, frame by frame. Tallies of parts add up, in the order of the parts.

    Args:
        keys: of the labels.
    """

    def __init__(self, keys: Sequence[LabelKey]) -> None:
        self.keys = {key.quantity.name: key for key in keys}
        self.frames = 0
        self.unlabelled = 0
        self.keys_seen: set[str] = set()
        self.seen: set[str] = set()
        self.found = {
            name: {"count": 0, "rows": 0, "rows_of_labelled": 0, "low": np.inf, "high": -np.inf}
            for name in self.keys
        }
        self.squares = dict.fromkeys(self.keys, 0.0)
        self.isolated = 0
        # For each label and element the lowest and the highest energy.
        self.references: dict[str, dict[str, list[float]]] = {name: {} for name in self.keys}
        self.charges: Counter[int] = Counter()
        self.unclear_charges = 0
        self.spins: Counter[str] = Counter()

    def charge_of(self, atoms: Atoms) -> int:
        """The total charge of one frame, 0 if unclear; counts spins and unclear charges."""
        charge = total_charge(atoms)
        self.spins[stated_spin(atoms) or "not stated"] += 1
        if np.isnan(charge):
            self.unclear_charges += 1
            charge = 0.0
        return int(charge)

    def look_at(self, atoms: Atoms) -> None:
        """Take note of the keys of one frame."""
        self.frames += 1
        keys = {key for where in places(atoms) for key in where if where[key] is not None}
        self.seen.update(name for name, key in self.keys.items() if key.key in keys)
        if self.frames <= LOOKED_AT_FIRST:
            self.keys_seen.update(keys)

    def include(self, later: "Tally") -> None:
        """Take in the tally of the frames that follow, but for energies of isolated atoms.

        Raises:
            LabelNotFoundError: none of many first frames has one of the labels.
        """
        if self.frames < LOOKED_AT_FIRST:
            self.keys_seen |= later.keys_seen
        self.frames += later.frames
        self.unlabelled += later.unlabelled
        self.seen |= later.seen
        for name, found in later.found.items():
            mine = self.found[name]
            for counted in ("count", "rows", "rows_of_labelled"):
                mine[counted] += found[counted]
            mine["low"] = min(mine["low"], found["low"])
            mine["high"] = max(mine["high"], found["high"])
            self.squares[name] += later.squares[name]
        self.charges.update(later.charges)
        self.unclear_charges += later.unclear_charges
        self.spins.update(later.spins)
        if self.frames >= LOOKED_AT_FIRST:
            self.raise_if_never_found()

    def include_references(self, later: "Tally") -> None:
        """Take in the energies of the isolated atoms of another tally, and nothing else."""
        self.isolated += later.isolated
        for name, by_symbol in later.references.items():
            for symbol, (low, high) in by_symbol.items():
                self._widen(name, symbol, low, high)

    def state(self) -> dict[str, Any]:
        """All counts as plain values for JSON, for :meth:`of_state`."""
        state = {name: value for name, value in vars(self).items() if name != "keys"}
        return state | {
            "keys_seen": sorted(self.keys_seen),
            "seen": sorted(self.seen),
            "charges": [[charge, count] for charge, count in self.charges.items()],
        }

    @classmethod
    def of_state(cls, keys: Sequence[LabelKey], state: Mapping[str, Any]) -> "Tally":
        """The tally whose :meth:`state` is given."""
        tally = cls(keys)
        vars(tally).update(state)
        tally.keys_seen, tally.seen = set(state["keys_seen"]), set(state["seen"])
        tally.charges = Counter(dict(state["charges"]))
        tally.spins = Counter(state["spins"])
        return tally

    def is_reference(self, atoms: Atoms, labels: Mapping[str, np.ndarray | None]) -> bool:
        """Whether a frame is an isolated atom whose energy is a reference energy."""
        energies = (labels[name] for name, key in self.keys.items() if key.quantity.is_total_energy)
        return any(energy is not None for energy in energies) and is_isolated_atom(atoms)

    def add_reference(self, species: np.ndarray, labels: Mapping[str, np.ndarray | None]) -> None:
        """Take in the energies of an isolated atom."""
        self.isolated += 1
        symbol = chemical_symbols[species[0]]
        for name, key in self.keys.items():
            energy = labels[name]
            if key.quantity.is_total_energy and energy is not None:
                self._widen(name, symbol, float(energy), float(energy))

    def _widen(self, name: str, symbol: str, low: float, high: float) -> None:
        range = self.references[name].setdefault(symbol, [low, high])
        range[:] = min(range[0], low), max(range[1], high)

    def add(self, labels: Mapping[str, np.ndarray | None], charge: int) -> None:
        """Take in the labels of one structure."""
        self.charges[charge] += 1
        for name, value in labels.items():
            if value is None:
                continue
            found, key = self.found[name], self.keys[name]
            rows = value.reshape(len(value) if key.quantity.per == "atom" else 1, -1)
            present = rows[~np.isnan(rows).any(axis=1)]
            found["count"] += 1
            found["rows"] += len(present)
            found["rows_of_labelled"] += len(rows)
            found["low"] = min(found["low"], float(present.min()))
            found["high"] = max(found["high"], float(present.max()))
            self.squares[name] += float(np.mean(present**2))

    def summary(
        self, labels: Mapping[str, dict[str, Any]], energies: dict[str, dict[str, float]]
    ) -> dict[str, Any]:
        """What a store's manifest says of its source; completes the entries of ``labels``.

        Args:
            labels: by the name under which they were declared.
            energies: of isolated atoms, which have precedence, by property and symbol.
        """
        for name, key in self.keys.items():
            count = self.found[name]["count"]
            labels[key.name] |= self.found[name]
            labels[key.name]["rms"] = (self.squares[name] / max(count, 1)) ** 0.5
            if not count:
                labels[key.name] |= {"low": None, "high": None}
        remarks = []
        if self.unlabelled:
            remarks.append(f"{self.unlabelled:,} frames have none of the labels and are left out")
        references: dict[str, dict[str, float]] = {}
        for name, by_symbol in self.references.items():
            for symbol, (low, high) in by_symbol.items():
                if high - low > 1e-6:
                    remarks.append(
                        f"{name}: frames of an isolated atom of {symbol} differ, from "
                        f"{low:.6f} to {high:.6f} eV: the lowest is taken"
                    )
                references.setdefault(name, {})[symbol] = low
        for name, given in energies.items():
            references[name] = references.get(name, {}) | given
        return {
            "total_charges": {
                f"{charge:+d}" if charge else "0": count
                for charge, count in sorted(self.charges.items())
            },
            "unclear_charges": self.unclear_charges,
            "spins": dict(sorted(self.spins.items())),
            "remarks": remarks,
            "isolated": self.isolated,
            "isolated_atoms": references,
        }

    def raise_if_never_found(self) -> None:
        """Raise LabelNotFoundError if no frame has one of the labels."""
        for name, key in self.keys.items():
            if name in self.seen:
                continue
            present = sorted(self.keys_seen - {"numbers", "positions"})
            raise LabelNotFoundError(
                f"none of the {self.frames} frames read has {key.key!r}, the key given for "
                f"{key.name}.{hint(key.key, present)} Keys found: {', '.join(present) or 'none'}. "
                f"Correct labels.{key.name}.key, or leave this label out."
            )
