"""Physical properties that a data set can label and a model can predict.

A :class:`Property` states once what the rest of the package needs to know of a quantity: its
internal unit, whether there is one value for each atom or for each structure, the shape of a value,
whether it adds up over separate molecules, and the unit in which people expect to read errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from molnet.nearest import hint


@dataclass(frozen=True)
class Property:
    """A physical quantity and its conventions.

    Args:
        name: the key under which labels and predictions are stored.
        unit: internal unit (see :mod:`molnet.units`), e.g. ``"eV"``.
        per: whether there is one value for each ``"structure"`` or for each ``"atom"``.
        shape: shape of one value: ``()`` for a scalar, ``(3,)`` for a vector, ``(3, 3)``.
        extensive: whether the value of two far-apart molecules is the sum of theirs. Extensive
            scalars in eV are total energies: they are kept in float64, and have per-species
            reference values.
        shown_in: the unit in which errors are reported, e.g. ``"meV"``.
        meaning: a few words for tables and help texts.
    """

    name: str
    unit: str
    per: Literal["structure", "atom"] = "structure"
    shape: tuple[int, ...] = ()
    extensive: bool = False
    shown_in: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        if not self.shown_in:
            object.__setattr__(self, "shown_in", self.unit)

    @property
    def is_total_energy(self) -> bool:
        """Whether this is an extensive scalar energy, with reference energies and float64 sums."""
        return self.extensive and self.per == "structure" and self.shape == () and self.unit == "eV"

    @property
    def is_potential_energy(self) -> bool:
        """Whether this is an energy that nuclei feel: with bonds, unlike the zero-point energy."""
        return self.is_total_energy and self.name in ("energy", "u0", "u", "h", "g")


def _energy(name: str, meaning: str) -> Property:
    return Property(name, "eV", extensive=True, shown_in="meV", meaning=meaning)


PROPERTIES: dict[str, Property] = {
    property.name: property
    for property in (
        _energy("energy", "potential energy"),
        Property("forces", "eV/Å", "atom", (3,), shown_in="meV/Å", meaning="forces −∂E/∂r"),
        Property("stress", "eV/Å^3", shape=(3, 3), shown_in="meV/Å^3", meaning="stress ∂E/∂ε / V"),
        Property("dipole", "e*Å", shape=(3,), shown_in="Debye", meaning="dipole moment"),
        Property("mu", "e*Å", shown_in="Debye", meaning="norm of the dipole moment"),
        Property(
            "polarizability",
            "Å^3",
            shape=(3, 3),
            extensive=True,
            shown_in="Bohr^3",
            meaning="polarizability tensor",
        ),
        Property(
            "alpha", "Å^3", extensive=True, shown_in="Bohr^3", meaning="isotropic polarizability"
        ),
        Property("charges", "e", "atom", shown_in="e", meaning="partial charges"),
        Property("homo", "eV", shown_in="meV", meaning="energy of the HOMO"),
        Property("lumo", "eV", shown_in="meV", meaning="energy of the LUMO"),
        Property("gap", "eV", shown_in="meV", meaning="HOMO–LUMO gap"),
        Property("r2", "Å^2", shown_in="Bohr^2", meaning="electronic spatial extent"),
        _energy("zpve", "zero-point vibrational energy"),
        _energy("u0", "internal energy at 0 K"),
        _energy("u", "internal energy at 298.15 K"),
        _energy("h", "enthalpy at 298.15 K"),
        _energy("g", "free energy at 298.15 K"),
        Property(
            "cv",
            "eV/K",
            extensive=True,
            shown_in="cal/(mol K)",
            meaning="heat capacity at 298.15 K",
        ),
    )
}


def get_property(name: str, declared: Mapping[str, Property] | None = None) -> Property:
    """The property called ``name``, among the declared and the built-in ones.

    Raises:
        KeyError: when no property has that name; the message names the nearest one.
    """
    known = {**PROPERTIES, **(declared or {})}
    if name in known:
        return known[name]
    raise KeyError(
        f"unknown property {name!r}.{hint(name, known)} Known: {', '.join(sorted(known))}. "
        "Declare others with their unit, e.g. "
        "target.properties.NAME={unit: eV, per: structure, shape: []}."
    )
