"""Which key of a file may hold which property, and which units its size is usual for.

Keys are compared by name and shape. Units are never guessed: the size of the numbers only says
which of them would be usual.
"""

import re

from molnet.datasets.survey import Key, Survey
from molnet.properties import Property
from molnet.units import conversion_factor

NAMES: dict[str, tuple[str, ...]] = {
    "energy": ("energy", "energies", "e", "etot", "toten", "u", "u0"),
    "forces": ("forces", "force", "f"),
    "stress": ("stress", "stresses", "sigma"),
    "virial": ("virial", "virials", "w"),
    "dipole": ("dipole", "dipoles", "mu", "dip", "d"),
    "mu": ("mu", "dipole"),
    "polarizability": ("polarizability", "polarizabilities", "alpha", "pol", "polar"),
    "alpha": ("alpha", "polarizability", "pol"),
    "charges": ("charges", "charge", "q", "mulliken", "hirshfeld", "bader", "resp", "lowdin"),
    "gap": ("gap", "bandgap", "egap"),
    "homo": ("homo", "ehomo"),
    "lumo": ("lumo", "elumo"),
    "r2": ("r2",),
    "cv": ("cv",),
}
"""Names of each property in files, the most usual ones first; others are known by their own."""

OTHER_MEANING = {
    *("kinetic", "kin", "free", "error", "std", "var", "uncertainty", "dispersion", "disp", "id"),
    *("predicted", "pred", "per", "initial", "atom", "zpe", "correction", "binding", "formation"),
}
"""Words that make another quantity of a name: such keys come last."""

UNITS: dict[str, tuple[str, ...]] = {
    "eV": ("eV", "Hartree", "kcal/mol", "kJ/mol", "Ry", "meV", "cm^-1"),
    "eV/Å": ("eV/Å", "Hartree/Bohr", "kcal/mol/Å", "kJ/mol/Å", "Ry/Bohr", "meV/Å"),
    "eV/Å^3": ("eV/Å^3", "GPa", "kbar", "Hartree/Bohr^3"),
    "e*Å": ("Debye", "e*Å", "e*Bohr"),
    "Å^3": ("Å^3", "Bohr^3"),
    "Å^2": ("Å^2", "Bohr^2"),
    "eV/K": ("cal/(mol K)", "J/(mol K)", "meV/K"),
}
"""Usual units in files, by the internal unit."""

USUAL_FORCES = (0.05, 20.0)
"""Root mean square in eV/Å of the forces on atoms that move, or are about to relax."""

ALL_ELECTRONS = (0.6, 1.05)
"""Total energies with all electrons over those of the Thomas–Fermi model: 0.65 for H, 0.9 for U."""


def candidates(quantity: Property, found: Survey, name: str | None = None) -> list[Key]:
    """Keys that may hold ``quantity`` by name and shape, the likeliest first.

    Args:
        quantity: the property.
        found: in the files.
        name: under which the label is declared, if not that of the property: ``"virial"``.
    """
    scores = {
        key.name: _score(key.name, name or quantity.name)
        for key in found.keys.values()
        if key.fits(quantity) and key.rms > 0
    }
    return [found.keys[key] for key in sorted(scores, key=lambda k: -scores[k]) if scores[key] > 0]


def _score(key: str, quantity: str) -> float:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", key)]
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    known = NAMES.get(quantity, (quantity,))
    if plain in known:
        return 10 - 0.1 * known.index(plain)
    score = 0.0
    if any(len(name) > 1 and name in words for name in known):
        score = 6.0 - 0.1 * len(words)
    elif any(len(name) > 3 and name in plain for name in known):
        score = 3.0
    elif len(words) == 2 and words[1] in known:  # REF_E, dft_f
        score = 2.0
    return score - 5.0 * len(OTHER_MEANING & {*words})


def usual_units(quantity: Property) -> tuple[str, ...]:
    """Units to choose from."""
    return UNITS.get(quantity.unit, (quantity.unit,))


def remark_on_size(key: Key, quantity: Property) -> str:
    """Which units the size of the numbers is usual for; nothing if that cannot be said."""
    units = usual_units(quantity)
    if quantity.name == "forces":
        low, high = USUAL_FORCES
        sizes = {unit: key.rms * conversion_factor(unit, "eV/Å") for unit in units}
        usual = [unit for unit, size in sizes.items() if low <= size <= high]
        large = [unit for unit, size in sizes.items() if size > high]
        if usual:
            not_for = f", too large for {_either(large)}" if large else ""
            return f"their size is usual for {_either(usual)}{not_for}"
    if quantity.is_total_energy:
        low, high = ALL_ELECTRONS
        share = key.of_all_electrons / max(key.frames, 1)
        for unit in units:
            if low <= share * conversion_factor(unit, "eV") <= high:
                # Its valence energies in eV, −58 for C in a molecule, look like −75.7 Ry.
                also = ", or of tight binding (xTB, DFTB) in eV" if unit == "Ry" else ""
                return f"its size is that of total energies with all electrons in {unit}{also}"
    return ""


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
