"""The joint search against the search of each structure by itself."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from molnet.graph import (
    NeighboursOfMany,
    StructureError,
    find_neighbours,
    find_neighbours_of_many,
    neighbours_of_many,
)

CUTOFF = 4.0


def random_molecule(atoms: int, seed: int) -> Atoms:
    """About as dense as matter, somewhere in space."""
    rng = np.random.default_rng(seed)
    edge = (12.0 * atoms) ** (1 / 3)
    positions = rng.uniform(0, edge, (atoms, 3)) + rng.uniform(-50, 50, 3)
    return Atoms(numbers=np.full(atoms, 6), positions=positions)


def molecules(seed: int = 0, number: int = 60) -> list[Atoms]:
    """Single atoms, pairs beyond the cutoff, and sizes on both sides of the largest compared."""
    sizes = np.random.default_rng(seed).integers(1, 40, number)
    largest = neighbours_of_many.LARGEST_COMPARED
    return [
        random_molecule(int(atoms), seed + i)
        for i, atoms in enumerate([1, *sizes, largest, 1, largest + 1, 2])
    ] + [Atoms("H2", [[0, 0, 0], [0, 0, CUTOFF]])]


def search(structures: list[Atoms], cutoff: float = CUTOFF) -> NeighboursOfMany:
    return find_neighbours_of_many(
        np.concatenate([atoms.positions for atoms in structures]),
        np.array([len(atoms) for atoms in structures]),
        np.stack([atoms.cell.array for atoms in structures]),
        np.stack([atoms.pbc for atoms in structures]),
        cutoff,
    )


def rows(
    receivers: NDArray[np.int64], senders: NDArray[np.int64], shifts: NDArray[np.int64]
) -> list[list[int]]:
    return np.column_stack([receivers, senders, shifts]).tolist()


def assert_same_as_one_by_one(structures: list[Atoms]) -> None:
    edges = search(structures)
    assert edges.senders.dtype == edges.receivers.dtype == edges.shifts.dtype == np.int64
    assert edges.counts.shape == (len(structures),)
    ends = np.cumsum(edges.counts)
    assert len(edges.senders) == len(edges.receivers) == len(edges.shifts) == ends[-1]
    for atoms, count, end in zip(structures, edges.counts, ends, strict=True):
        own = slice(end - count, end)
        found = rows(edges.receivers[own], edges.senders[own], edges.shifts[own])
        alone = find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
        assert sorted(found) == sorted(rows(alone.receivers, alone.senders, alone.shifts))
        assert (np.diff(edges.receivers[own]) >= 0).all(), "edges must ascend by receiver"
        if len(atoms) <= neighbours_of_many.LARGEST_COMPARED and not atoms.pbc.any():
            assert found == sorted(found), "senders of a molecule must ascend too"


@pytest.mark.parametrize("block", [1, 700, 1 << 16])
def test_molecules_agree_with_one_by_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours_of_many, "BLOCK", block)
    structures = molecules()
    assert_same_as_one_by_one(structures)
    counts = search(structures).counts
    assert (counts == 0).sum() >= 3
    assert counts.max() > 1000


def test_molecules_beside_crystals_agree_with_one_by_one() -> None:
    some = molecules(seed=1, number=10)
    boxed = random_molecule(8, seed=99)
    boxed.cell = np.diag([1.0, 2.0, 3.0])  # not periodic: ignored
    slab = random_molecule(5, seed=98)
    slab.cell, slab.pbc = np.diag([5.0, 6.0, 7.0]), (True, True, False)
    assert_same_as_one_by_one(
        [bulk("Cu"), *some[:6], boxed, slab, *some[6:], bulk("NaCl", "rocksalt", 5.6)]
    )
    assert_same_as_one_by_one([bulk("Cu"), slab])


def test_no_edges_at_all() -> None:
    edges = search([Atoms("H"), Atoms("He"), Atoms("H2", [[0, 0, 0], [0, 0, 9.0]])])
    assert edges.counts.tolist() == [0, 0, 0]
    assert edges.senders.shape == edges.receivers.shape == (0,)
    assert edges.shifts.shape == (0, 3)


def test_the_cutoff_itself_is_beyond_reach() -> None:
    pair = Atoms("H2", [[0, 0, 0], [0, 0, CUTOFF]])
    assert search([pair]).counts.tolist() == [0]
    assert search([pair], np.nextafter(CUTOFF, 5.0)).counts.tolist() == [2]


@pytest.mark.parametrize("atoms", [10, neighbours_of_many.LARGEST_COMPARED + 1])
@pytest.mark.parametrize("block", [1, 1 << 16])
def test_coincident_atoms_are_named_with_their_structure(
    atoms: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours_of_many, "BLOCK", block)
    structures = molecules(seed=2)
    structures[17] = random_molecule(atoms, seed=2)
    structures[17].positions[7] = structures[17].positions[3] + 1e-5
    with pytest.raises(StructureError, match=r"atoms 3 and 7 .*same place: 1.7e-05 Å") as caught:
        search(structures)
    assert caught.value.index == 17


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite_are_named_with_their_structure(value: float) -> None:
    structures = molecules(seed=3)
    structures[23] = random_molecule(12, seed=3)
    structures[23].positions[11, 2] = value
    with pytest.raises(StructureError, match=rf"atom 11 .*{value}") as caught:
        search(structures)
    assert caught.value.index == 23


def test_impossible_cells_are_named_with_their_structure() -> None:
    with pytest.raises(StructureError, match="is zero") as caught:
        search([Atoms("H"), Atoms("H", pbc=True)])
    assert caught.value.index == 1


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_impossible_cutoffs_are_refused(cutoff: float) -> None:
    with pytest.raises(ValueError, match="positive cutoff"):
        search([Atoms("H")], cutoff)
