"""The table of properties: units, shapes, and what counts as a total energy."""

import pytest

from molnet.properties import PROPERTIES, Property, get_property
from molnet.units import conversion_factor


def test_names_are_those_of_the_table() -> None:
    for name, property in PROPERTIES.items():
        assert property.name == name


@pytest.mark.parametrize("name", PROPERTIES)
def test_units_are_internal(name: str) -> None:
    """Made of eV, Å, e and K alone: reading a label is one multiplication, and errors compare."""
    unit = PROPERTIES[name].unit
    assert all(part in {"eV", "Å", "e", "K", "3", "2"} for part in _parts(unit)), unit
    assert conversion_factor(unit, PROPERTIES[name].shown_in) > 0


def _parts(unit: str) -> list[str]:
    for separator in "*/^":
        unit = unit.replace(separator, " ")
    return unit.split()


def test_total_energies() -> None:
    found = {name for name, property in PROPERTIES.items() if property.is_total_energy}
    assert found == {"energy", "zpve", "u0", "u", "h", "g"}


@pytest.mark.parametrize(
    "other",
    [
        Property("orbital", "eV"),
        Property("atomic", "eV", "atom", extensive=True),
        Property("levels", "eV", shape=(5,), extensive=True),
        Property("capacity", "eV/K", extensive=True),
    ],
)
def test_what_is_no_total_energy(other: Property) -> None:
    assert not other.is_total_energy


def test_errors_are_shown_in_the_internal_unit_unless_said_otherwise() -> None:
    assert Property("gap2", "eV").shown_in == "eV"
    assert Property("gap2", "eV", shown_in="meV").shown_in == "meV"


def test_declared_properties_are_found_beside_the_built_in_ones() -> None:
    declared = {"binding": Property("binding", "eV", extensive=True)}
    assert get_property("binding", declared).is_total_energy
    assert get_property("energy", declared) is PROPERTIES["energy"]
    with pytest.raises(KeyError):
        get_property("binding")


def test_unknown_names_get_the_nearest_one() -> None:
    with pytest.raises(KeyError, match=r"'enrgy'.*Did you mean 'energy'"):
        get_property("enrgy")
    with pytest.raises(KeyError, match=r"target\.properties"):
        get_property("xyzzy")


def test_properties_are_values() -> None:
    """They key dictionaries, and survive a round trip through their fields."""
    assert {PROPERTIES["forces"]: 1}[Property(**vars(PROPERTIES["forces"]))] == 1
