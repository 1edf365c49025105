"""Structures that are, and that cannot be."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2
from ase.data import chemical_symbols

from molnet.graph import StructureError, drop_placeholder_cell, find_neighbours, implausible

ORGANIC = Path(__file__).resolve().parents[2] / "data" / "organic" / "organic.extxyz.gz"


def scaled(atoms: Atoms, factor: float) -> Atoms:
    atoms = atoms.copy()
    if atoms.pbc.any():
        atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    else:
        atoms.positions *= factor
    return atoms


def in_box(atoms: Atoms, *lengths: float) -> Atoms:
    atoms = atoms.copy()
    atoms.set_cell(lengths)
    atoms.pbc = True
    return atoms


def elements() -> list[Atoms]:
    """The crystals of all elements that ASE can build."""
    crystals = []
    for symbol in chemical_symbols[1:]:
        try:
            crystals.append(bulk(symbol))
        except (ValueError, KeyError, NotImplementedError, RuntimeError):
            continue  # no simple structure is known to ASE
    assert len(crystals) > 60
    return crystals


# Nothing sound is doubted


def test_molecules_are_plausible() -> None:
    assert implausible([molecule(name) for name in g2.names]) == {}


def test_crystals_are_plausible_also_under_pressure() -> None:
    assert implausible(elements()) == {}
    assert implausible([scaled(atoms, 0.88) for atoms in elements()]) == {}


def test_bundled_structures_are_plausible() -> None:
    assert implausible(ase.io.read(ORGANIC, "::10")) == {}


@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("H"),
        Atoms("H2", [[0, 0, 0], [0, 0, 0.5]]),  # compressed
        Atoms("H2", [[0, 0, 0], [0, 0, 6.0]]),  # dissociated
        Atoms("Ar3", [[0, 0, 0], [0, 0, 3.8], [0, 3.3, 1.9]]),
        Atoms("Cs", cell=[6, 6, 6], pbc=True),
        in_box(molecule("H2O"), 3.1, 3.1, 3.1),  # the volume of a molecule in ice
        bulk("UO2", "fluorite", a=5.47),
    ],
)
def test_unusual_structures_are_plausible(atoms: Atoms) -> None:
    assert implausible([atoms]) == {}


# What is doubted


@pytest.mark.parametrize(("factor", "unit"), [(0.1, "nm"), (1 / 0.529177, "Bohr"), (100.0, "pm")])
@pytest.mark.parametrize("name", ["CH3OH", "C6H6", "SiH4", "CH3CN", "P2", "NaCl"])
def test_other_units_of_length_are_recognised(name: str, factor: float, unit: str) -> None:
    atoms = molecule(name)
    if len(atoms) < 3 and factor > 1:
        pytest.skip("two far atoms are a dissociated molecule")
    assert f"Is the unit of length {unit}, not Å?" in implausible([scaled(atoms, factor)])[0]


@pytest.mark.parametrize("factor", [0.1, 0.3])
def test_crystals_in_other_units_are_doubted(factor: float) -> None:
    noble = {"He", "Ne", "Ar", "Kr", "Xe"}  # far apart by nature
    crystals = [scaled(atoms, factor) for atoms in elements() if noble.isdisjoint(atoms.symbols)]
    assert set(implausible(crystals)) == set(range(len(crystals)))


@pytest.mark.parametrize(
    "cell", [(1, 1, 1), (0.9, 0.9, 0.9), (0.01, 20, 20), (2, 2, 2), (20, 20, 0.5)]
)
def test_cells_too_small_for_their_atoms(cell: tuple[float, ...]) -> None:
    assert set(implausible([molecule("CH4"), in_box(molecule("C6H6"), *cell)])) == {1}


def test_fractional_coordinates_taken_for_positions() -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    crystal.positions = crystal.get_scaled_positions()
    assert "atoms" in implausible([crystal])[0]


def test_the_closest_pair_is_named_with_its_distance() -> None:
    atoms = molecule("CH3CH2OH")
    atoms.positions[4] = atoms.positions[1] + [0, 0, 0.2]
    symbols = atoms.get_chemical_symbols()
    expected = f"atoms 1 ({symbols[1]}) and 4 ({symbols[4]}) are 0.2 Å apart"
    assert expected in implausible([molecule("H2O"), atoms])[1]


def test_a_cell_of_nothing_is_refused_before_a_search() -> None:
    """Its neighbours would not fit into any memory."""
    cell = np.diag([0.02, 0.02, 0.02])
    with pytest.raises(StructureError, match="neighbours each within 5"):
        find_neighbours(np.zeros((1, 3)), cell, [True] * 3, 5.0)
    skewed = [[5, 0, 0], [5, 5e-4, 0], [0, 0, 0]]
    with pytest.raises(StructureError, match="neighbours each within 5"):
        find_neighbours(np.zeros((1, 3)), skewed, [True, True, False], 5.0)


@pytest.mark.parametrize("number", [-3, 0, 119, 150])
def test_numbers_of_no_element(number: int) -> None:
    atoms = molecule("H2O")
    atoms.numbers[1] = number
    with pytest.raises(StructureError, match=f"atom 1 .* atomic number is {number}") as caught:
        implausible([molecule("H2O"), atoms])
    assert caught.value.index == 1


def test_faults_keep_their_place_behind_crowded_structures() -> None:
    broken = molecule("H2O")
    broken.positions[1] = np.nan
    with pytest.raises(StructureError, match="not finite") as caught:
        implausible([in_box(molecule("C6H6"), 0.5, 0.5, 0.5), molecule("H2O"), broken])
    assert caught.value.index == 2


# Placeholders


@pytest.mark.parametrize("name", ["a.pdb", "a.extxyz", "a.xyz.gz"])
def test_a_cube_of_one_angstrom_is_no_cell(name: str) -> None:
    atoms = in_box(molecule("CH3OH"), 1, 1, 1)
    assert "a cube of 1 Å" in str(drop_placeholder_cell(atoms, Path(name)))
    assert atoms == molecule("CH3OH")


def test_zeros_are_no_cell_where_the_format_has_one_always() -> None:
    for name, dropped in (("a.pdb", True), ("a.gro.gz", True), ("a.xyz", False)):
        atoms = in_box(molecule("CH3OH"), 0, 0, 0)
        assert (drop_placeholder_cell(atoms, Path(name)) is not None) == dropped
        assert atoms.pbc.any() != dropped


@pytest.mark.parametrize("lengths", [(1, 1, 20), (1.1, 1.1, 1.1), (10, 10, 10), (2.5, 2.5, 2.5)])
def test_other_cells_are_kept(lengths: tuple[float, ...]) -> None:
    atoms = in_box(molecule("CH3OH"), *lengths)
    assert drop_placeholder_cell(atoms, Path("a.pdb")) is None
    assert atoms.cell.lengths().tolist() == pytest.approx(lengths)
