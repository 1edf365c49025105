"""Neighbours in every kind of cell, against brute force over all images and against ASE."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from molnet.graph import Neighbours, StructureError, find_neighbours

CUTOFF = 4.0
SKEWED = [[5.1, 0.0, 0.0], [3.9, 4.3, 0.0], [-2.2, 1.8, 5.6]]

CELLS: dict[str, tuple[NDArray[np.float64], tuple[bool, bool, bool]]] = {
    "molecule without a cell": (np.zeros((3, 3)), (False, False, False)),
    "molecule in a cell": (np.eye(3) * 2.0, (False, False, False)),
    "cubic": (np.eye(3) * 9.0, (True, True, True)),
    "orthorhombic": (np.diag([6.0, 8.0, 11.0]), (True, True, True)),
    "smaller than the cutoff": (np.diag([1.9, 2.3, 2.8]), (True, True, True)),
    "skewed": (np.array(SKEWED), (True, True, True)),
    "very skewed": (np.array([[3.0, 0, 0], [14.0, 3.0, 0], [-9.0, 8.0, 4.0]]), (True, True, True)),
    "left-handed": (np.array(SKEWED)[[1, 0, 2]], (True, True, True)),
    "mirrored": (np.diag([-6.0, 7.0, 5.0]), (True, True, True)),
    "slab without a third vector": (np.array([*SKEWED[:2], [0, 0, 0]]), (True, True, False)),
    "slab with a vacuum": (np.array([*SKEWED[:2], [0, 0, 30.0]]), (True, True, False)),
    "slab thinner than its atoms": (np.array([*SKEWED[:2], [0, 0, 0.5]]), (True, True, False)),
    "slab with a slanted vector": (np.array([*SKEWED[:2], [9.0, 8.0, 3.0]]), (True, True, False)),
    "slab across y": (np.array(SKEWED), (True, False, True)),
    "slab across x, left-handed": (np.array(SKEWED)[[2, 1, 0]], (False, True, True)),
    "wire": (np.diag([0.0, 3.1, 0.0]), (False, True, False)),
    "slanted wire": (np.array([[0, 0, 0], [0, 0, 0], [1.0, 2.0, -1.5]]), (False, False, True)),
}
every_cell = pytest.mark.parametrize("name", CELLS)


def random_positions(name: str, count: int = 12) -> NDArray[np.float64]:
    """Atoms spread over more than the cell, so that many lie outside of it."""
    seed = list(CELLS).index(name)
    return np.random.default_rng(seed).uniform(-4.0, 7.0, (count, 3))


def brute_force(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: tuple[bool, ...]
) -> set[tuple[int, ...]]:
    """(receiver, sender, *shift) of every image of every pair that is within the cutoff."""
    periodic = np.flatnonzero(pbc)
    vectors = cell[periodic]
    # An image is in reach only if its part along each reciprocal vector is.
    reciprocal = np.linalg.pinv(vectors)  # [3, number of periodic directions]
    reach = CUTOFF * np.linalg.norm(reciprocal, axis=0) + np.ptp(positions @ reciprocal, axis=0)
    ranges = [range(-int(limit) - 1, int(limit) + 2) for limit in reach]
    found = set()
    for steps in product(*ranges):
        shift = np.zeros(3, dtype=int)
        shift[periodic] = steps
        vectors = positions[None, :] - positions[:, None] + shift @ cell  # [receiver, sender, 3]
        within = np.linalg.norm(vectors, axis=-1) < CUTOFF
        if not shift.any():
            np.fill_diagonal(within, False)
        found |= {(i, j, *shift) for i, j in np.argwhere(within)}
    return found


def as_set(edges: Neighbours) -> set[tuple[int, ...]]:
    rows = np.column_stack([edges.receivers, edges.senders, edges.shifts])
    assert len(np.unique(rows, axis=0)) == len(rows), "an edge is listed twice"
    return {tuple(row) for row in rows}


def vectors_of(
    edges: Neighbours, positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    return positions[edges.senders] - positions[edges.receivers] + edges.shifts @ cell


def sorted_rows(*columns: NDArray[np.generic]) -> NDArray[np.float64]:
    rows = np.column_stack(columns).round(6) + 0.0
    return rows[np.lexsort(rows.T)]


@every_cell
def test_agrees_with_brute_force(name: str) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    edges = find_neighbours(positions, cell, pbc, CUTOFF)
    expected = brute_force(positions, cell, pbc)
    assert as_set(edges) == expected
    assert len(expected) >= 10
    assert (np.diff(edges.receivers) >= 0).all(), "edges must ascend by receiver"
    assert edges.shifts.dtype == edges.senders.dtype == edges.receivers.dtype == np.int64


@every_cell
def test_agrees_with_ase(name: str) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    atoms = Atoms(numbers=[1] * len(positions), positions=positions, cell=cell, pbc=pbc)
    i, j, shifts = neighbor_list("ijS", atoms, CUTOFF)
    edges = find_neighbours(positions, cell, pbc, CUTOFF)
    assert as_set(edges) == as_set(Neighbours(j, i, shifts))


@every_cell
def test_shifts_point_from_sender_to_receiver(name: str) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    edges = find_neighbours(positions, cell, pbc, CUTOFF)
    assert (np.linalg.norm(vectors_of(edges, positions, cell), axis=1) < CUTOFF).all()
    if any(pbc):  # the opposite sign would put some neighbours out of reach
        wrong = vectors_of(edges._replace(shifts=-edges.shifts), positions, cell)
        assert (np.linalg.norm(wrong, axis=1) > CUTOFF).any()


@every_cell
def test_translation_changes_nothing(name: str) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    moved = positions + np.array([113.7, -58.2, 0.31])
    assert as_set(find_neighbours(moved, cell, pbc, CUTOFF)) == as_set(
        find_neighbours(positions, cell, pbc, CUTOFF)
    )


@every_cell
def test_permutation_relabels(name: str) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    order = np.random.default_rng(1).permutation(len(positions))
    edges = find_neighbours(positions[order], cell, pbc, CUTOFF)
    relabelled = edges._replace(senders=order[edges.senders], receivers=order[edges.receivers])
    assert as_set(relabelled) == as_set(find_neighbours(positions, cell, pbc, CUTOFF))


@every_cell
def test_moving_atoms_by_cell_vectors_keeps_the_edge_vectors(name: str) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    steps = np.random.default_rng(2).integers(-3, 4, (len(positions), 3)) * np.array(pbc)
    moved = positions + steps @ cell
    before = find_neighbours(positions, cell, pbc, CUTOFF)
    after = find_neighbours(moved, cell, pbc, CUTOFF)
    np.testing.assert_allclose(
        sorted_rows(after.receivers, after.senders, vectors_of(after, moved, cell)),
        sorted_rows(before.receivers, before.senders, vectors_of(before, positions, cell)),
        atol=2e-6,
    )


@every_cell
def test_wrapping_by_ase_keeps_the_edge_vectors(name: str) -> None:
    cell, pbc = CELLS[name]
    atoms = Atoms(numbers=[1] * 12, positions=random_positions(name), cell=cell, pbc=pbc)
    before = find_neighbours(atoms.positions, cell, pbc, CUTOFF)
    distances = np.linalg.norm(vectors_of(before, atoms.positions, cell), axis=1)
    atoms.wrap()
    after = find_neighbours(atoms.positions, cell, pbc, CUTOFF)
    wrapped = np.linalg.norm(vectors_of(after, atoms.positions, cell), axis=1)
    np.testing.assert_allclose(
        sorted_rows(after.receivers, after.senders, wrapped),
        sorted_rows(before.receivers, before.senders, distances),
        atol=2e-6,
    )


@every_cell
@pytest.mark.parametrize("vector", [[0, 0, 0], [0, 0, 1e-4], [1e6, 3, 2], [1, 1, -1]])
def test_vectors_of_non_periodic_directions_play_no_part(name: str, vector: list[float]) -> None:
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    other = np.where(np.array(pbc)[:, None], cell, np.array(vector, dtype=float))
    expected = find_neighbours(positions, cell, pbc, CUTOFF)
    found = find_neighbours(positions, other, pbc, CUTOFF)
    for one, another in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, another)


def test_far_apart_atoms_cost_nothing_and_have_no_edges() -> None:
    positions = np.array([[0, 0, 0], [1e7, -1e7, 1e7]])
    edges = find_neighbours(positions, np.zeros((3, 3)), [False] * 3, CUTOFF)
    assert len(edges.senders) == 0
    assert edges.shifts.shape == (0, 3)


@pytest.mark.parametrize("distance", [3e2, 1e4, 1e6, 1e9])
@pytest.mark.parametrize("name", [name for name, (_, pbc) in CELLS.items() if not all(pbc)])
def test_atoms_that_fly_off_leave_the_edges_of_the_rest(name: str, distance: float) -> None:
    """In any direction; in 1, 2 and 3 open directions vesin's own grid would be thin."""
    cell, pbc = CELLS[name]
    positions = random_positions(name)
    rest = as_set(find_neighbours(positions, cell, pbc, CUTOFF))
    open_axes = np.linalg.svd(np.where(np.array(pbc)[:, None], cell, 0.0))[2][sum(pbc) :]
    for away in (open_axes[0], open_axes.sum(axis=0), -open_axes[-1]):
        pair = np.array([[0, 0, 0], [0.7, 0.8, 0.9]]) + distance * away  # leave together
        edges = find_neighbours(np.vstack([positions, pair]), cell, pbc, CUTOFF)
        found = as_set(edges)
        assert {edge for edge in found if max(edge[:2]) < len(positions)} == rest
        together = find_neighbours(pair - distance * away, cell, pbc, CUTOFF)
        number = len(positions)
        moved = {(i + number, j + number, *shift) for i, j, *shift in as_set(together)}
        assert found - rest == moved


def test_an_isolated_atom_has_no_edges_and_a_periodic_one_sees_its_images() -> None:
    alone = find_neighbours([[0, 0, 0]], np.eye(3) * 3.0, [False] * 3, CUTOFF)
    assert len(alone.senders) == 0
    crystal = find_neighbours([[0, 0, 0]], np.eye(3) * 3.0, [True] * 3, CUTOFF)
    assert len(crystal.senders) == 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite_name_the_atom(value: float) -> None:
    positions = random_positions("cubic")
    positions[7, 1] = value
    with pytest.raises(StructureError, match=rf"atom 7 .*{value}"):
        find_neighbours(positions, *CELLS["cubic"], CUTOFF)


@pytest.mark.parametrize("name", ["molecule without a cell", "cubic", "smaller than the cutoff"])
def test_coincident_atoms_are_both_named(name: str) -> None:
    positions = random_positions(name)
    positions[9] = positions[4] + 1e-5
    with pytest.raises(StructureError, match=r"atoms 4 and 9 .*same place"):
        find_neighbours(positions, *CELLS[name], CUTOFF)


def test_atoms_that_coincide_through_an_image_are_both_named() -> None:
    cell, pbc = CELLS["skewed"]
    positions = random_positions("skewed")
    positions[11] = positions[2] + cell[0] - 2 * cell[2]
    with pytest.raises(StructureError, match=r"atoms 2 and 11 .*same place"):
        find_neighbours(positions, cell, pbc, CUTOFF)


def test_close_atoms_are_no_error() -> None:
    positions = np.array([[0, 0, 0], [0.002, 0, 0]])
    assert len(find_neighbours(positions, np.zeros((3, 3)), [False] * 3, CUTOFF).senders) == 2


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (np.diag([5.0, 0.0, 5.0]), "periodic in direction 1 .*is zero"),
        (np.array([[5.0, 0, 0], [10.0, 0, 0], [0, 0, 5.0]]), "not independent"),
        (np.diag([5.0, np.nan, 5.0]), "not finite"),
    ],
)
def test_impossible_cells_are_refused(cell: NDArray[np.float64], message: str) -> None:
    with pytest.raises(StructureError, match=message):
        find_neighbours(random_positions("cubic"), cell, [True] * 3, CUTOFF)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_impossible_cutoffs_are_refused(cutoff: float) -> None:
    with pytest.raises(ValueError, match="positive cutoff"):
        find_neighbours([[0, 0, 0]], np.zeros((3, 3)), [False] * 3, cutoff)
