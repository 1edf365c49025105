"""Molecules put together from periodic images."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from molnet.graph import MovingGraph, StructureError, from_atoms, unwrapped

CUTOFF = 4.0


def boxed(atoms: Atoms, edge: float = 12.0, pbc: object = True) -> Atoms:
    box = atoms.copy()
    box.set_cell(np.array([[edge, 0, 0], [0.2 * edge, edge, 0], [-0.1 * edge, 0.3 * edge, edge]]))
    box.pbc = pbc
    return box


def chain(length: int) -> Atoms:
    """An alkane, stretched out."""
    atoms = Atoms()
    for i in range(length):
        atoms += Atoms("CH2", [[1.27 * i, 0.4 * (-1) ** i, 0], [1.27 * i, (-1) ** i, 0.9],
                               [1.27 * i, (-1) ** i, -0.9]])  # fmt: skip
    return atoms


def vectors(positions: np.ndarray) -> np.ndarray:
    """All differences: what does not depend on where a structure is."""
    return positions[:, None] - positions[None]


def unwrap(atoms: Atoms, cutoff: float = CUTOFF) -> np.ndarray:
    return unwrapped(from_atoms([atoms], cutoff, torch.float64)).numpy()


@pytest.mark.parametrize("edge", [6.0, 8.0, 12.0, 30.0])
@pytest.mark.parametrize("name", ["H2O", "CH3CH2OH", "C6H6", "SiH4", "PH3"])
def test_a_molecule_in_a_box_is_itself_wherever_its_atoms_are(name: str, edge: float) -> None:
    whole = molecule(name)
    rng = np.random.default_rng(len(name))
    box = boxed(whole, edge)
    for _ in range(3):
        box.positions = whole.positions + rng.uniform(-20, 20, size=3)
        box.positions += rng.integers(-2, 3, size=(len(box), 3)) @ box.cell.array
        np.testing.assert_allclose(vectors(unwrap(box)), vectors(whole.positions), atol=1e-10)
        box.wrap()
        np.testing.assert_allclose(vectors(unwrap(box)), vectors(whole.positions), atol=1e-10)


def test_the_control_a_wrapped_molecule_is_torn_apart() -> None:
    box = boxed(molecule("CH3CH2OH"))
    box.wrap()
    whole = molecule("CH3CH2OH").positions
    assert np.abs(vectors(box.positions) - vectors(whole)).max() > 5.0


def test_long_molecules_are_followed_to_their_end() -> None:
    whole = chain(30)  # 38 Å in a box of 12 Å: it passes its own images at a distance
    whole.rotate("x", (1, 0.5, 0.3))
    box = boxed(whole, 12.0)
    box.wrap()
    np.testing.assert_allclose(vectors(unwrap(box)), vectors(whole.positions), atol=1e-9)


def test_structures_of_a_batch_are_kept_apart() -> None:
    frames = [molecule("CH4"), boxed(molecule("H2O")), boxed(molecule("C2H6")), molecule("CO")]
    frames[1].positions[2] += frames[1].cell.array[0]
    frames[2].positions[5] -= frames[2].cell.array[1]
    together = unwrapped(from_atoms(frames, CUTOFF, torch.float64)).numpy()
    expected = [molecule(name).positions for name in ("CH4", "H2O", "C2H6", "CO")]
    np.testing.assert_allclose(together, np.concatenate(expected), atol=1e-10)


def test_molecules_without_periodic_neighbours_are_as_they_are() -> None:
    graph = from_atoms([molecule("CH4")], CUTOFF)
    assert unwrapped(graph) is graph.pos
    box = boxed(Atoms("He"), 3.0)  # periodic, alone in its cell, and bonded to nothing
    np.testing.assert_allclose(unwrap(box), box.positions)


def test_two_molecules_that_see_no_image_of_each_other() -> None:
    dimer = molecule("H2O") + molecule("H2O")
    dimer.positions[3:] += [0, 0, 3.0]
    for edge in (14.0, 25.0):
        box = boxed(dimer, edge)
        box.positions[4] += box.cell.array[1]
        box.positions[:3] -= box.cell.array[2]
        np.testing.assert_allclose(vectors(unwrap(box)), vectors(dimer.positions), atol=1e-10)


def two_waters_across_a_box() -> Atoms:
    waters = molecule("H2O") + molecule("H2O")
    waters.positions[3:] += [3.0, 0, 0]
    return boxed(waters, 6.0)


def two_waters_apart() -> Atoms:
    waters = molecule("H2O") + molecule("H2O")
    waters.positions[3:] += [10.0, 0, 0]
    return boxed(waters, 20.0)


@pytest.mark.parametrize(
    "structure",
    [
        bulk("NaCl", "rocksalt", 5.64),
        bulk("Cu"),
        bulk("Cu", cubic=True) * 3,
        fcc111("Al", (2, 2, 2), vacuum=8.0, periodic=False),
        boxed(chain(2), 1.27 * 2, (True, False, False)),  # a polymer
        two_waters_across_a_box(),
        two_waters_apart(),
    ],
    ids=["salt", "metal", "large cell", "slab", "polymer", "liquid", "gas"],
)
def test_what_is_no_molecule_is_refused(structure: Atoms) -> None:
    graph = from_atoms([molecule("H2O"), boxed(molecule("H2O")), structure], CUTOFF)
    with pytest.raises(StructureError, match="is not one molecule: bonds connect it") as caught:
        unwrapped(graph)
    assert caught.value.index == 2


def test_positions_and_cells_can_be_differentiated() -> None:
    box = boxed(molecule("H2O"))
    box.positions[1] -= 2 * box.cell.array[0]
    graph = from_atoms([box], CUTOFF, torch.float64)
    graph.pos.requires_grad_()
    graph.cell.requires_grad_()
    weights = torch.randn(3, 3, dtype=torch.float64)
    by_pos, by_cell = torch.autograd.grad(
        (weights * unwrapped(graph)).sum(), (graph.pos, graph.cell)
    )
    torch.testing.assert_close(by_pos, weights)
    torch.testing.assert_close(by_cell[0, 0], 2 * weights[1])


def test_a_moving_graph_unwraps_like_any_other() -> None:
    box = boxed(molecule("CH3OH"), 5.5)
    box.wrap()
    graph = MovingGraph(CUTOFF)(box.numbers, box.positions, box.cell.array, box.pbc)
    np.testing.assert_allclose(unwrapped(graph).numpy(), unwrap(box), atol=1e-12)
