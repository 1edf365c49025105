"""Graphs with a skin against graphs from scratch, step after step."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from molnet.graph import MovingGraph, MovingGraphs, StructureError, from_atoms
from molnet.graph.container import Graph

CUTOFF = 4.0


def small_crystal() -> Atoms:
    """Smaller than the cutoff, and skewed."""
    atoms = bulk("Cu")
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1.1, 0.05], [0.2, 0, 1]], True)
    return atoms


STRUCTURES = {
    "molecule": molecule("CH3CH2OH"),
    "molecule in a cell": molecule("CH3CH2OH", cell=[3, 3, 3]),
    "large molecule": molecule("C60"),
    "small crystal": small_crystal(),
    "crystal": bulk("Cu", cubic=True) * (3, 3, 2),
    "slab": fcc111("Cu", (2, 2, 2), vacuum=5.0, periodic=False),
    "slab without a third vector": fcc111("Cu", (2, 3, 2)),
    "wire": Atoms("Cu2", [[0, 0, 0], [1, 1, 2.2]], cell=[0, 0, 4.5], pbc=[False, False, True]),
    "one atom": Atoms("Cu"),
}
every_structure = pytest.mark.parametrize("name", STRUCTURES)


def random_walk(atoms: Atoms, steps: int = 40, step: float = 0.02) -> Iterator[Atoms]:
    generator = np.random.default_rng(0)
    atoms = atoms.copy()
    for _ in range(steps):
        atoms.positions += step * generator.standard_normal(atoms.positions.shape)
        yield atoms


def graph_of(graph: MovingGraph, atoms: Atoms) -> Graph:
    return graph(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def assert_same(graph: MovingGraph, atoms: Atoms) -> None:
    found = graph_of(graph, atoms)
    assert_equal(found, from_atoms([atoms], graph.cutoff, torch.float64))
    assert found.num_graphs == 1
    assert found.num_nodes == len(atoms)


def assert_equal(found: Graph, expected: Graph) -> None:
    assert sorted(found.keys()) == sorted(expected.keys())
    assert (found.edge_index[1].diff() >= 0).all(), "receivers must ascend"
    for batch in (found, expected):  # senders of one receiver come in any order
        shifts = batch.shifts if "shifts" in batch else batch.pos.new_zeros(batch.num_edges, 0)
        order = np.lexsort([*shifts.T.numpy(), *batch.edge_index.numpy()])
        batch.edge_index, batch.shifts = batch.edge_index[:, order], shifts[order]
    for key in expected.keys():  # noqa: SIM118 - a batch is not a mapping
        assert found[key].dtype == expected[key].dtype, key
        assert torch.equal(found[key], expected[key]), key


@every_structure
@pytest.mark.parametrize("skin", [0.0, 0.3, 1.0])
def test_graphs_are_those_from_scratch(name: str, skin: float) -> None:
    graph = MovingGraph(CUTOFF, skin)
    for atoms in random_walk(STRUCTURES[name]):
        assert_same(graph, atoms)
    assert graph.searches == 40 if skin == 0 else 1 <= graph.searches < 30


@pytest.mark.parametrize("name", ["large molecule", "crystal"])
def test_a_skin_that_is_never_searched_again_loses_edges(name: str) -> None:
    """Negative control of the comparison above."""
    graph = MovingGraph(CUTOFF, 0.3)
    graph_of(graph, STRUCTURES[name])
    assert graph.graphs is not None
    graph.graphs._outdated = lambda *now: np.array([False])  # type: ignore[method-assign]
    missing = 0
    for atoms in random_walk(STRUCTURES[name], step=0.05):
        expected = from_atoms([atoms], CUTOFF).num_edges
        missing += expected - graph_of(graph, atoms).num_edges
    assert graph.searches == 1
    assert missing > 0


def test_searched_again_once_an_atom_left_half_the_skin() -> None:
    atoms, graph = STRUCTURES["crystal"].copy(), MovingGraph(CUTOFF, 1.0)
    for shift, searches in [(0.0, 1), (0.49, 1), (0.52, 2), (0.52, 2), (0.1, 2), (0.0, 3)]:
        atoms.positions[3] = STRUCTURES["crystal"].positions[3] + [shift, 0, 0]
        assert_same(graph, atoms)
        assert graph.searches == searches, shift


def test_wrapping_is_a_move_like_any_other() -> None:
    graph = MovingGraph(CUTOFF, 0.5)
    for atoms in random_walk(STRUCTURES["crystal"], step=0.05):
        assert_same(graph, atoms)
        atoms.wrap()
        assert_same(graph, atoms)


@pytest.mark.parametrize("scale_atoms", [False, True])
@pytest.mark.parametrize("name", ["small crystal", "crystal", "slab without a third vector"])
def test_a_changing_cell_is_noticed(name: str, scale_atoms: bool) -> None:
    atoms, graph = STRUCTURES[name].copy(), MovingGraph(CUTOFF, 0.5)
    generator = np.random.default_rng(0)
    for _ in range(60):
        assert_same(graph, atoms)
        strain = 0.998 * np.eye(3) + 0.004 * generator.standard_normal((3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=scale_atoms)
    assert graph.searches > 1
    if atoms.pbc.all():
        assert graph.searches < 30, "small strains keep the candidates"


def test_other_structures_are_noticed() -> None:
    graph = MovingGraph(CUTOFF, 0.5)
    slab = STRUCTURES["slab"].copy()
    assert_same(graph, slab)
    slab.pbc = [True, False, False]
    assert_same(graph, slab)
    slab.numbers[0] = 47
    assert_same(graph, slab)
    slab.numbers[[0, 1]] = slab.numbers[[1, 0]]
    assert_same(graph, slab)
    assert_same(graph, slab[1:])
    assert_same(graph, STRUCTURES["molecule"])
    assert graph.searches == 6


def test_earlier_graphs_stay_as_they_are() -> None:
    graph, atoms = MovingGraph(CUTOFF, 0.5), STRUCTURES["crystal"].copy()
    first = graph_of(graph, atoms)
    before = first.clone()
    for moved in random_walk(atoms, steps=20):
        graph_of(graph, moved)
    atoms.positions += 1.0
    assert graph.searches > 1
    for key in before.keys():  # noqa: SIM118 - a batch is not a mapping
        assert torch.equal(first[key], before[key]), key


@pytest.mark.parametrize("name", ["molecule", "crystal"])
def test_faults_are_named_at_every_step(name: str) -> None:
    atoms, graph = STRUCTURES[name].copy(), MovingGraph(CUTOFF, 100.0 if name == "molecule" else 6)
    graph_of(graph, atoms)
    broken = atoms.copy()
    broken.positions[4] = broken.positions[2] + 1e-4
    with pytest.raises(StructureError, match=r"atoms 2 and 4 .*same place"):
        graph_of(graph, broken)
    assert graph.searches == 1, "within the skin it must be noticed too"
    broken.positions[4] = np.nan
    for _ in range(2):
        with pytest.raises(StructureError, match=r"atom 4 .*not finite"):
            graph_of(graph, broken)
    assert_same(graph, atoms)


def test_what_makes_no_graph_is_refused() -> None:
    graph = MovingGraph(CUTOFF)
    with pytest.raises(StructureError, match="no atoms"):
        graph([], np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 species, received \(3, 3\)"):
        graph([1, 1], np.eye(3))
    graph([1, 1, 1], np.eye(3))
    with pytest.raises(ValueError, match=r"shape \(3, 3\) for 3 species, received \(2, 3\)"):
        graph([1, 1, 1], np.eye(3)[:2])
    with pytest.raises(StructureError, match="cell vector is zero"):
        graph([1], np.zeros((1, 3)), pbc=[True, False, False])


@pytest.mark.parametrize("skin", [-0.1, np.nan, np.inf])
def test_impossible_skins_are_refused(skin: float) -> None:
    with pytest.raises(ValueError, match="skin of 0 Å or more"):
        MovingGraph(CUTOFF, skin)


def graphs_of(structures: list[Atoms], skin: float = 0.5) -> MovingGraphs:
    return MovingGraphs(
        np.concatenate([atoms.numbers for atoms in structures]),
        [len(atoms) for atoms in structures],
        np.array([atoms.pbc for atoms in structures]),
        cutoff=CUTOFF,
        skin=skin,
    )


def now(graphs: MovingGraphs, structures: list[Atoms]) -> Graph:
    return graphs(
        np.concatenate([atoms.positions for atoms in structures]),
        np.array([atoms.cell.array for atoms in structures]),
    )


def test_many_structures_move_each_in_its_own_way() -> None:
    """Slow ones, fast ones, one whose cell is strained; only those that moved are searched."""
    structures = [atoms.copy() for atoms in STRUCTURES.values()]
    graphs = graphs_of(structures)
    generator = np.random.default_rng(0)
    for step in range(30):
        assert_equal(now(graphs, structures), from_atoms(structures, CUTOFF, torch.float64))
        for place, atoms in enumerate(structures):
            size = [0.0, 0.02, 0.1][(place + step // 10) % 3]
            atoms.positions += size * generator.standard_normal(atoms.positions.shape)
        structures[4].set_cell(structures[4].cell.array * 1.003, scale_atoms=True)
    assert len(structures) < graphs.searches < 20 * len(structures)


def test_faults_of_many_structures_are_named_by_place() -> None:
    structures = [molecule("CH4"), molecule("H2O"), STRUCTURES["crystal"].copy()]
    graphs = graphs_of(structures, skin=5.0)
    now(graphs, structures)
    for broken, atom in ((1, 2), (2, 3)):
        moved = [atoms.copy() for atoms in structures]
        moved[broken].positions[atom] = moved[broken].positions[0] + 1e-4
        with pytest.raises(StructureError, match=f"atoms 0 and {atom} .*same place") as caught:
            now(graphs, moved)
        assert caught.value.index == broken
        moved[broken].positions[atom] = np.nan
        with pytest.raises(StructureError, match=f"atom {atom} .*not finite") as caught:
            now(graphs, moved)
        assert caught.value.index == broken
    assert_equal(now(graphs, structures), from_atoms(structures, CUTOFF, torch.float64))
    with pytest.raises(StructureError, match="no atoms") as caught:
        MovingGraphs([1, 1], [2, 0], cutoff=CUTOFF)
    assert caught.value.index == 1
