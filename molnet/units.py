"""Units of measurement: the only place in the package that holds conversion constants.

Inside the package every quantity is in eV, Å, e (elementary charge), amu and K. Data are converted
once, when they are read, by the factor that :func:`conversion_factor` gives for the unit that the
user declared. The constants are CODATA's, through :mod:`ase.units`.

A unit is written as a product, quotient or power of the names in :data:`UNITS`::

    kcal/mol    Hartree/Bohr    eV/Å^3    e*Å    cal/(mol K)    meV Å⁻¹    cm^-1    ppm    1

Where an energy is asked for, ``cm^-1`` is the spectroscopists' wavenumber, E = h c ν; elsewhere it
is one over a length.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from ase import units as codata

from molnet.nearest import hint

_BASE = ("eV", "Å", "e", "time", "K")
"""What a dimension is made of. Mass is eV·time²/Å²: no base of its own is needed."""


class UnitError(ValueError):
    """A unit that is not known, cannot be read, or measures another kind of quantity."""


@dataclass(frozen=True)
class Unit:
    """A unit's size in internal units, and its dimension: the exponent of each base.

    ``names`` are the names that it is written with, and the exponent of each.
    """

    size: float
    dimension: tuple[int, ...] = (0, 0, 0, 0, 0)
    names: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __mul__(self, other: "Unit") -> "Unit":
        exponents = tuple(a + b for a, b in zip(self.dimension, other.dimension, strict=True))
        names = {
            name: self.names.get(name, 0) + other.names.get(name, 0)
            for name in {**self.names, **other.names}
        }
        return Unit(self.size * other.size, exponents, names)

    def __pow__(self, exponent: int) -> "Unit":
        return Unit(
            self.size**exponent,
            tuple(exponent * a for a in self.dimension),
            {name: exponent * a for name, a in self.names.items()},
        )

    @property
    def dimension_name(self) -> str:
        """The dimension in words of the bases, e.g. ``"eV Å^-1"``."""
        factors = (
            base if exponent == 1 else f"{base}^{exponent}"
            for base, exponent in zip(_BASE, self.dimension, strict=True)
            if exponent
        )
        return " ".join(factors) or "a pure number"


_ENERGY = (1, 0, 0, 0, 0)
_LENGTH = (0, 1, 0, 0, 0)
_CHARGE = (0, 0, 1, 0, 0)
_DIPOLE = (0, 1, 1, 0, 0)
_TIME = (0, 0, 0, 1, 0)
_FREQUENCY = (0, 0, 0, -1, 0)
_TEMPERATURE = (0, 0, 0, 0, 1)
_MASS = (1, -2, 0, 2, 0)
_PRESSURE = (1, -3, 0, 0, 0)
_NUMBER = (0, 0, 0, 0, 0)


def _named(size: float, dimension: tuple[int, ...], *names: str) -> dict[str, Unit]:
    return {name: Unit(size, dimension, {names[0]: 1}) for name in names}


UNITS: dict[str, Unit] = (
    _named(1.0, _ENERGY, "eV")
    | _named(1e-3, _ENERGY, "meV")
    | _named(1e3, _ENERGY, "keV")
    | _named(codata.Hartree, _ENERGY, "Hartree", "hartree", "Ha", "Eh", "au_energy")
    | _named(1e-3 * codata.Hartree, _ENERGY, "mHartree", "mHa", "mEh")
    | _named(codata.Rydberg, _ENERGY, "Rydberg", "Ry")
    | _named(1e-3 * codata.Rydberg, _ENERGY, "mRy")
    | _named(codata.J, _ENERGY, "J")
    | _named(1e-18 * codata.J, _ENERGY, "aJ")
    | _named(codata.kJ, _ENERGY, "kJ")
    | _named(codata.kcal / 1e3, _ENERGY, "cal")
    | _named(codata.kcal, _ENERGY, "kcal")
    | _named(1.0, _LENGTH, "Å", "A", "Ang", "ang", "Angstrom", "angstrom")
    | _named(codata.Bohr, _LENGTH, "Bohr", "bohr", "a0")
    | _named(1e-2, _LENGTH, "pm")
    | _named(codata.nm, _LENGTH, "nm")
    | _named(codata.m / 1e2, _LENGTH, "cm")
    | _named(codata.m, _LENGTH, "m")
    | _named(1.0, _CHARGE, "e")
    | _named(codata.C, _CHARGE, "C")
    | _named(1.0, (1, 0, -1, 0, 0), "V")
    | _named(codata.Debye, _DIPOLE, "Debye", "debye", "D")
    | _named(1.0, _DIPOLE, "eÅ", "eA", "eAng")
    | _named(codata.Bohr, _DIPOLE, "ea0")
    | _named(codata.fs, _TIME, "fs")
    | _named(1e3 * codata.fs, _TIME, "ps")
    | _named(codata.second, _TIME, "s")
    | _named(1 / codata.second, _FREQUENCY, "Hz")
    | _named(1e6 / codata.second, _FREQUENCY, "MHz")
    | _named(1e9 / codata.second, _FREQUENCY, "GHz")
    | _named(1e12 / codata.second, _FREQUENCY, "THz")
    | _named(1.0, _TEMPERATURE, "K")
    | _named(codata.kB, (1, 0, 0, 0, -1), "kB", "k_B")
    | _named(1.0, _MASS, "amu", "Da", "u")
    | _named(codata.kg, _MASS, "kg")
    | _named(codata.Pascal, _PRESSURE, "Pa")
    | _named(1e-3 * codata.GPa, _PRESSURE, "MPa")
    | _named(codata.GPa, _PRESSURE, "GPa")
    | _named(1e-1 * codata.GPa, _PRESSURE, "kbar")
    | _named(codata.bar, _PRESSURE, "bar")
    | _named(codata.mol, _NUMBER, "mol")
    | _named(1e-6, _NUMBER, "ppm")
)
"""Every known name. ``mol`` is the pure number N_A, so that kcal/mol is an energy."""

_ATOMIC = (
    "stands for a unit of its own for every quantity. Write Hartree for an energy, Bohr for a "
    "length, Hartree/Bohr for forces, Hartree/Bohr^3 for a stress, e*Bohr for a dipole, Bohr^3 for "
    "a polarizability, e for charges"
)
_ANSWERS = {
    **dict.fromkeys(("au", "a.u.", "a.u", "AU"), _ATOMIC),
    "atom": "is no unit: values are those of whole structures. Multiply by the number of atoms",
    "kT": "needs a temperature: write '300 kB K' for k_B T at 300 K",
}
"""What to write instead of names that mean more than one thing, or nothing."""

_PER_MOLE = {"cal", "kcal", "kJ"}
"""Energies that chemists mean to be those of one mole even where they do not write it."""

_WAVENUMBER = Unit(codata.invcm * codata.m / 1e2, (1, 1, 0, 0, 0))
"""h c, which makes an energy of a 1/length."""


def conversion_factor(source: str, target: str) -> float:
    """The number that turns a value in ``source`` into one in ``target``.

    >>> round(conversion_factor("kcal/mol", "meV"), 3)
    43.364
    >>> conversion_factor("eV/Å", "eV/Å")
    1.0

    >>> round(conversion_factor("cm^-1", "meV"), 3)
    0.124

    Raises:
        UnitError: when either unit is not known (the nearest name is given) or cannot be read, or
            when they measure different kinds of quantity.
    """
    from_unit, to_unit = parse_unit(source), parse_unit(target)
    if from_unit.dimension != to_unit.dimension:
        as_energies = _with_wavenumbers(from_unit), _with_wavenumbers(to_unit)
        if as_energies[0].dimension == as_energies[1].dimension:
            from_unit, to_unit = as_energies
    if from_unit.dimension != to_unit.dimension:
        raise UnitError(
            f"cannot convert {source!r} to {target!r}: "
            f"the first has the dimension {from_unit.dimension_name}, "
            f"the second {to_unit.dimension_name}. Declare the unit that the data really have"
            f"{_other_meaning(from_unit, to_unit)}."
        )
    _check_moles(source, from_unit)
    _check_moles(target, to_unit)
    return from_unit.size / to_unit.size


def _with_wavenumbers(unit: Unit) -> Unit:
    """The same unit, with ``cm^-1`` as the energy h c ν."""
    return unit * _WAVENUMBER if unit.names.get("cm") == -1 else unit


def _other_meaning(from_unit: Unit, to_unit: Unit) -> str:
    if from_unit.dimension == _TEMPERATURE and to_unit.dimension == _ENERGY:
        return "; for an energy k_B T write 'kB K'"
    if from_unit.dimension == _FREQUENCY and to_unit.dimension in (_ENERGY, (0, -1, 0, 0, 0)):
        return "; give an energy h ν in meV or cm^-1 (1 THz = 33.356 cm^-1)"
    return ""


def _check_moles(text: str, unit: Unit) -> None:
    """Refuses energies of mole after mole, and those of one structure that are mountains."""
    moles = unit.names.get("mol", 0)
    if moles > 0:
        raise UnitError(
            f"the unit {text!r} multiplies by N_A. For 'per mole' write brackets: kcal/(mol Å)"
        )
    large = [name for name in _PER_MOLE & unit.names.keys() if unit.names[name] > 0]
    if large and moles == 0:
        raise UnitError(
            f"the unit {text!r} is not one of a single structure: {large[0]} is 10^21 eV or more. "
            f"Write {large[0]}/mol"
        )


def parse_unit(text: str) -> Unit:
    """Reads a product, quotient or power of known units.

    Products are written with ``*``, ``·`` or a space, powers with ``^``, ``**``, superscripts, or a
    number right after the name (``cm-1``, ``Å3``); ``/`` acts on the single factor or bracket after
    it.

    Raises:
        UnitError: for an unknown name or text that is not a unit, and for ``a/b c``, which some
            read as ``(a/b) c`` and others as ``a/(b c)``.
    """
    if not isinstance(text, str):
        raise UnitError(f"expected a unit such as 'eV/Å', received {text!r}; put it in quotes")
    tokens = _tokenise(text)
    unit = _parse_product(tokens, text)
    if tokens:
        raise UnitError(f"cannot read the unit {text!r}: unexpected {tokens[0]!r}")
    return unit


_TOKEN = re.compile(
    r"\s*(\*\*|\^|[*/()]|[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|a\.u\.?|[^\W\d]\w*)"
    r"((?<=\w)-\d+)?"  # a power right after a name
)
_SUPERSCRIPTS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")


def _tokenise(text: str) -> list[str]:
    # NFC makes one letter of the two that Unicode has for Å, and of "A" with a ring.
    plain = unicodedata.normalize("NFC", text).replace("·", "*").replace("×", "*")
    plain = re.sub(
        "[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda match: "^" + match[0].translate(_SUPERSCRIPTS), plain
    ).strip()
    tokens, position = [], 0
    while position < len(plain):
        match = _TOKEN.match(plain, position)
        if match is None:
            raise UnitError(f"cannot read the unit {text!r}: unexpected {plain[position:]!r}")
        tokens += _name_and_power(match[1].replace("**", "^"))
        if match[2]:
            tokens += ["^", match[2]]
        position = match.end()
    return tokens


def _name_and_power(token: str) -> list[str]:
    """``Å3`` is ``Å^3``, unless a name ends in a digit itself, as ``a0`` does."""
    match = re.fullmatch(r"(\D\w*?)(\d+)", token)
    if match is None or token in UNITS or match[1] not in UNITS:
        return [token]
    return [match[1], "^", match[2]]


def _parse_product(tokens: list[str], text: str) -> Unit:
    unit, divided = _parse_power(tokens, text), False
    while tokens and tokens[0] != ")":
        operator = tokens.pop(0) if tokens[0] in "*/" else " "
        if operator == " " and divided:
            raise UnitError(f"the unit {text!r} is ambiguous: write a/(b c) or c*a/b")
        divided = divided or operator == "/"
        unit = unit * _parse_power(tokens, text) ** (-1 if operator == "/" else 1)
    return unit


def _parse_power(tokens: list[str], text: str) -> Unit:
    unit = _parse_factor(tokens, text)
    if tokens and tokens[0] == "^":
        tokens.pop(0)
        exponent = tokens.pop(0) if tokens else ""
        if not re.fullmatch(r"[+-]?\d+", exponent):
            raise UnitError(f"cannot read the unit {text!r}: a power must be a whole number")
        unit = unit ** int(exponent)
    return unit


def _parse_factor(tokens: list[str], text: str) -> Unit:
    if not tokens:
        raise UnitError(f"cannot read the unit {text!r}: a name is missing; for none write '1'")
    token = tokens.pop(0)
    if token == "(":  # noqa: S105 - a bracket, no password
        unit = _parse_product(tokens, text)
        if not tokens or tokens.pop(0) != ")":
            raise UnitError(f"cannot read the unit {text!r}: a bracket is not closed")
        return unit
    if token in UNITS:
        return UNITS[token]
    if token[0].isdigit() and float(token) > 0:
        return Unit(float(token))
    if token in _ANSWERS:
        raise UnitError(f"{token!r} in the unit {text!r} {_ANSWERS[token]}.")
    meant = hint(token, UNITS, cutoff=0.4)
    raise UnitError(f"unknown unit {token!r} in {text!r}.{meant} Known: {', '.join(UNITS)}.")
