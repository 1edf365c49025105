"""Total charge and spin of a structure, as stated in its file or by the user."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms

from molnet.graph.neighbours import StructureError

CHARGE_KEYS = ("charge", "total_charge", "net_charge")
"""Keys of a total charge in ``atoms.info``, in any case."""

SPIN_KEYS = ("multiplicity", "spin_multiplicity", "spin")
"""Keys of a spin in ``atoms.info``, in any case."""

WHOLE = 1e-3
"""Largest deviation of a total charge from a whole number, in e, from rounded initial charges."""


def total_charge(atoms: Atoms) -> float:
    """The total charge of a structure in e, a whole number; 0 if none is stated.

    The charge is ``atoms.info["charge"]`` (or another of :data:`CHARGE_KEYS`), or the sum of ASE's
    initial charges (``atoms.get_initial_charges()``) if any of these is not zero.

    Returns:
        The charge; NaN if there are only initial charges and their sum is not a whole number.

    Raises:
        StructureError: a stated charge is not a whole number, or two sources contradict each other.
    """
    charges = {f"info[{key!r}]": _whole(key, value) for key, value in _entries(atoms, CHARGE_KEYS)}
    initial = atoms.arrays.get("initial_charges")
    if initial is not None and np.any(initial):
        total = float(np.sum(initial))
        if not np.isfinite(total):
            raise StructureError("the initial charges are not finite. Correct or remove them.")
        if not charges and abs(total - round(total)) > WHOLE:
            return float("nan")
        # Beside a stated charge they may be partial charges that were rounded, or chosen roughly.
        charges[f"the sum {total:g} of the initial charges"] = float(round(total))
    if not charges:
        return 0.0
    if len(set(charges.values())) > 1:
        found = ", ".join(f"{charge:g} ({source})" for source, charge in charges.items())
        raise StructureError(
            f"the total charge is stated more than once, and differently: {found}. Keep one."
        )
    charge = next(iter(charges.values()))
    if abs(charge) > atoms.numbers.sum():
        raise StructureError(
            f"the total charge {charge:g} is more than all {atoms.numbers.sum()} electrons of the "
            "neutral atoms. Correct it."
        )
    return charge


def stated_spin(atoms: Atoms) -> str | None:
    """The stated spin of a structure, such as ``"multiplicity 3"``; None if none is stated.

    Raises:
        StructureError: a multiplicity is not a positive whole number.
    """
    found = []
    for key, value in _entries(atoms, SPIN_KEYS):
        name = key.lower()
        if name != "spin":  # which programs use for all sorts of things
            value = _number(key, value)
            if not (value >= 1 and value == round(value)):
                raise StructureError(
                    f"info[{key!r}]: expected a multiplicity 1, 2, 3 ..., got {value:g}. Correct "
                    "or remove it."
                )
        found.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(found) or None


def _entries(atoms: Atoms, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in atoms.info.items():
        if isinstance(key, str) and key.lower() in keys and value is not None:
            yield key, value


def _number(key: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise StructureError(
            f"info[{key!r}]: expected a number, got {value!r}. Correct or remove it."
        )
    return float(array.reshape(()))


def _whole(key: str, value: Any) -> float:
    number = _number(key, value)
    if abs(number - round(number)) > WHOLE:
        raise StructureError(
            f"info[{key!r}]: expected the total charge of the structure in e, a whole number, got "
            f"{number:g}. Correct it, or give the entry another name if it is something else."
        )
    return float(round(number))
