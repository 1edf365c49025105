import pytest

from molnet.properties import PROPERTIES
from molnet.units import UnitError, conversion_factor

# CODATA 2014 values, written out here independently of the package.
HARTREE_EV = 27.21138602
BOHR_ANGSTROM = 0.52917721067
AVOGADRO = 6.022140857e23
ELEMENTARY_CHARGE = 1.6021766208e-19
SPEED_OF_LIGHT = 299792458.0
PLANCK = 6.626070040e-34
BOLTZMANN = 1.38064852e-23
WAVENUMBER = 1e2 * PLANCK * SPEED_OF_LIGHT / ELEMENTARY_CHARGE  # of 1 cm^-1, in eV


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Hartree", "eV", HARTREE_EV),
        ("Ha", "eV", HARTREE_EV),
        ("au_energy", "Hartree", 1.0),
        ("Bohr", "Å", BOHR_ANGSTROM),
        ("Hartree/Bohr", "eV/Å", HARTREE_EV / BOHR_ANGSTROM),
        ("kcal/mol", "eV", 4184.0 / AVOGADRO / ELEMENTARY_CHARGE),
        ("kcal/mol/Å", "eV/Å", 4184.0 / AVOGADRO / ELEMENTARY_CHARGE),
        ("kJ/mol", "kcal/mol", 1 / 4.184),
        ("cal/(mol K)", "eV/K", 4.184 / AVOGADRO / ELEMENTARY_CHARGE),
        ("Debye", "e*Å", 1e-21 / SPEED_OF_LIGHT / ELEMENTARY_CHARGE / 1e-10),
        ("Bohr^3", "Å^3", BOHR_ANGSTROM**3),
        ("a0**2", "Å²", BOHR_ANGSTROM**2),
        ("GPa", "eV/Å^3", 1e9 * 1e-30 / ELEMENTARY_CHARGE),
        ("eV/Å^3", "kbar", ELEMENTARY_CHARGE * 1e30 / 1e8),
        ("ps", "fs", 1e3),
        ("amu Å^2/fs^2", "eV", 1.660539040e-27 * 1e10 / ELEMENTARY_CHARGE),
        ("kg m^2 / s^2", "J", 1.0),
        ("J", "C*J/C", 1.0),
        ("meV", "eV", 1e-3),
        ("1", "1", 1.0),
        ("ppm", "1", 1e-6),
        ("ppm", "ppm", 1.0),
        ("cm^-1", "eV", WAVENUMBER),
        ("1/cm", "kJ/mol", WAVENUMBER * ELEMENTARY_CHARGE * AVOGADRO / 1e3),
        ("1000 cm⁻¹", "meV", 1e6 * WAVENUMBER),
        ("cm^-1/Bohr", "eV/Å", WAVENUMBER / BOHR_ANGSTROM),
        ("cm^-1", "1/Å", 1e-8),
        ("cm^-1", "m^-1", 1e2),
        ("mEh/Bohr", "eV/Å", 1e-3 * HARTREE_EV / BOHR_ANGSTROM),
        ("Ry/bohr", "eV/Å", HARTREE_EV / 2 / BOHR_ANGSTROM),
        ("ea0", "e*Bohr", 1.0),
        ("eÅ", "e*Å", 1.0),
        ("300 kB K", "eV", 300 * BOLTZMANN / ELEMENTARY_CHARGE),
        ("THz", "1/ps", 1.0),
        ("V/Å", "eV/(e Å)", 1.0),
        ("aJ", "J", 1e-18),
        ("1000", "1", 1000.0),
        ("0.5 eV", "eV", 0.5),
    ],
)
def test_conversion_agrees_with_the_constants(source: str, target: str, expected: float) -> None:
    assert conversion_factor(source, target) == pytest.approx(expected, rel=1e-8)
    assert conversion_factor(target, source) == pytest.approx(1 / expected, rel=1e-8)


@pytest.mark.parametrize(
    "spelling",
    ["eV/Å", "eV/A", "eV/Ang", "eV Å^-1", "eV*Å**-1", "eV·Å⁻¹", " eV / angstrom ", "eV/\u212b",
     "eV/A\u030a", "(eV)/(Å)", "1/(Å/eV)", "eV Å-1", "eV A-1"],
)  # fmt: skip
def test_spellings_of_one_unit_agree(spelling: str) -> None:
    assert conversion_factor(spelling, "eV/Å") == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [("cm-1", "cm^-1"), ("kcal mol-1 Å-1", "kcal/(mol Å)"), ("Bohr3", "Bohr^3"), ("a0", "Bohr")],
)
def test_a_number_right_after_a_name_is_its_power(spelling: str, unit: str) -> None:
    assert conversion_factor(spelling, unit) == pytest.approx(1.0, rel=1e-15)


def test_division_binds_the_next_factor_only() -> None:
    assert conversion_factor("kJ/mol/nm", "kJ/(mol nm)") == pytest.approx(1.0)
    assert conversion_factor("eV/Å*Å", "eV") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("kcl/mol", "Did you mean 'kcal'"),
        ("ev", "Did you mean 'eV'"),
        ("HARTREE", "Did you mean '[hH]artree'"),
        ("cal/mol K", "ambiguous"),
        ("eV/", "a name is missing"),
        ("", "a name is missing"),
        ("eV/(Å", "bracket is not closed"),
        ("eV)", "unexpected"),
        ("eV^Å", "whole number"),
        ("eV^0.5", "whole number"),
        ("eV/Å$", "unexpected"),
        ("0", "unknown unit '0'"),
        ("eV+1", "unknown unit"),
        ("au", "Write Hartree for an energy, Bohr for a length"),
        ("Ry/a.u.", "stands for a unit of its own for every quantity"),
        ("meV/atom", "those of whole structures. Multiply by the number of atoms"),
        ("K", "for an energy k_B T write 'kB K'"),
        ("THz", "1 THz = 33.356 cm"),
        ("kcal", "Write kcal/mol"),
        ("kJ", "Write kJ/mol"),
        ("kcal*mol", r"write brackets: kcal/\(mol Å\)"),
    ],
)
def test_what_is_no_unit_is_refused(unit: str, message: str) -> None:
    with pytest.raises(UnitError, match=message):
        conversion_factor(unit, "eV")


def test_a_number_in_place_of_a_unit_is_refused() -> None:
    with pytest.raises(UnitError, match="put it in quotes"):
        conversion_factor(1, "eV")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("eV", "eV/Å"),
        ("kcal", "mol K"),
        ("Debye", "e"),
        ("GPa", "eV"),
        ("ppm", "eV"),
        ("1/Å", "eV"),  # only cm^-1 is anybody's energy
        ("cm", "eV"),
        ("kcal/mol·Å", "eV/Å"),
    ],
)
def test_different_quantities_are_not_converted(source: str, target: str) -> None:
    with pytest.raises(UnitError, match="dimension"):
        conversion_factor(source, target)


def test_reported_units_of_all_properties_convert() -> None:
    for property in PROPERTIES.values():
        assert conversion_factor(property.unit, property.shown_in) > 0
