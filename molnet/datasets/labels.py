"""Labels of a structure: their keys and units in files, and how they are read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from molnet.graph.frames import StructureFileError
from molnet.properties import Property, get_property
from molnet.units import UNITS, UnitError, conversion_factor


@dataclass(frozen=True)
class LabelKey:
    """The key of a label in the files, and the conversion to the internal unit.

    Attributes:
        quantity: the property that is labelled.
        key: its name in ``atoms.info``, ``atoms.arrays`` or the calculator's results.
        unit: its unit in the files.
        factor: value in the internal unit = factor × value in the files.
        is_virial: the files hold the virial −σV, in a unit of energy, instead of the stress σ.
    """

    quantity: Property
    key: str
    unit: str
    factor: float
    is_virial: bool = False

    @property
    def name(self) -> str:
        """The name under which the label was declared."""
        return "virial" if self.is_virial else self.quantity.name


def parse_label_keys(
    labels: Mapping[str, Mapping[str, str]],
    declared: dict[str, Property] | None = None,
    units: Mapping[str, str] | None = None,
) -> list[LabelKey]:
    """Checks the declaration ``{name: {key: ..., unit: ...}}`` of every label.

    A label without a unit has the one that the files declare for its key, ``units``.

    Raises:
        KeyError: no property has that name.
        ValueError: an entry has another form, or stress and virial both occur.
        UnitError: a unit is missing, unknown, of another kind than the property, or not the one
            that the files declare.
    """
    if {"stress", "virial"} <= set(labels):
        raise ValueError("labels: expected stress or virial, got both; leave one of them out")
    return [_parse_entry(name, entry, declared, units or {}) for name, entry in labels.items()]


def _parse_entry(
    name: str,
    entry: Mapping[str, str],
    declared: dict[str, Property] | None,
    units: Mapping[str, str],
) -> LabelKey:
    is_virial = name == "virial"
    quantity = get_property("stress" if is_virial else name, declared)
    if not isinstance(entry, Mapping) or set(entry) - {"key", "unit"} or not entry.get("key"):
        raise ValueError(
            f"labels.{name}: expected {{key: NAME IN THE FILES, unit: UNIT}}, got {entry!r}"
        )
    key = entry["key"]
    unit = entry.get("unit") or units.get(key)
    if not unit:
        raise UnitError(
            f"labels.{name} has no unit. State the unit of {key!r} in the files, e.g. "
            f"{{key: {key}, unit: {quantity.unit}}}. Known units: {', '.join(UNITS)}, and their "
            "products, quotients and powers."
        )
    try:
        factor = conversion_factor(unit, "eV" if is_virial else quantity.unit)
    except UnitError as error:
        raise UnitError(f"labels.{name}.unit: {error}") from error
    if key in units and not _is_same(units[key], unit):
        raise UnitError(
            f"labels.{name}.unit: the files declare {units[key]!r} for {key!r}, got {unit!r}. "
            "Leave the unit out, or correct the declaration in the files."
        )
    return LabelKey(quantity, key, unit, factor, is_virial)


def _is_same(unit: str, other: str) -> bool:
    try:
        return abs(conversion_factor(unit, other) - 1) < 1e-6
    except UnitError:
        return unit == other


def places(atoms: Atoms) -> Iterator[Mapping[str, Any]]:
    """Where labels are looked for: ``info``, ``arrays``, the results of an attached calculator.

    The results are taken as they stand: nothing is calculated, and no constraint zeroes a force.
    """
    yield atoms.info
    yield atoms.arrays
    if atoms.calc is not None:
        yield atoms.calc.results


def has_volume(atoms: Atoms) -> bool:
    """Whether a stress is defined: some direction is periodic, and there are three cell vectors."""
    return bool(atoms.pbc.any()) and atoms.cell.volume > 0


def read_label(atoms: Atoms, label: LabelKey) -> np.ndarray | None:
    """A structure's label in the internal unit, [*shape] or [N, *shape]; None when it has none.

    Of a property of atoms other than forces, rows of NaN are those of atoms without a label.

    Raises:
        StructureFileError: the value is not of that shape, not a number or not finite.
    """
    found = (place[label.key] for place in places(atoms) if place.get(label.key) is not None)
    raw = next(found, None)
    if raw is None:
        return None
    quantity = label.quantity
    what = f"{label.key!r} ({label.name})"
    shape = (len(atoms), *quantity.shape) if quantity.per == "atom" else quantity.shape
    try:
        if np.asarray(raw).dtype == bool:  # ASE makes it of a key without value, energy=
            raise ValueError("truth values are no numbers")
        value = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise StructureFileError(
            f"{what}: expected numbers of shape {shape}, got {raw!r}"
        ) from error
    if quantity.name == "stress" and value.shape == (6,):
        value = voigt_6_to_full_3x3_stress(value)
    # Files often hold a matrix as one row, or a number as a list of one.
    per_atom = 1 if quantity.per == "atom" else 0
    if value.shape != shape and (
        value.size != np.prod(shape) or value.shape[:per_atom] != shape[:per_atom]
    ):
        six = " Write all nine numbers, row by row." if value.shape[-1:] == (6,) else ""
        raise StructureFileError(f"{what}: expected the shape {shape}, got {value.shape}.{six}")
    value = value.reshape(shape)
    finite = np.isfinite(value)
    if quantity.per == "atom" and quantity.name != "forces":
        finite |= np.isnan(value).all(axis=tuple(range(1, value.ndim)), keepdims=True)
        if np.isnan(value).all():
            return None
    if not finite.all():
        raise StructureFileError(
            f"{what} must be finite, got {value[~finite][0]}. Correct this frame or leave it out."
        )
    value = label.factor * value
    if not label.is_virial:
        return value
    if not has_volume(atoms):
        raise StructureFileError(
            f"{what} needs a volume, but pbc is {atoms.pbc.tolist()} and the cell "
            f"{atoms.cell.tolist()} Å. Give both, or leave out the virial of this frame."
        )
    return -value / atoms.cell.volume
