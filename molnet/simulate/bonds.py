"""Bonds by covalent radii: who is bonded, and which part of a molecule lies beyond a bond."""

from collections import deque

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph.elements import COVALENT_RADII
from molnet.graph.neighbours_of_many import find_neighbours_of_many

Bond = tuple[int, int, int, int, int]
"""Two atoms i < j, and the periodic image of the second."""


def bonds_within(atoms: Atoms, limit: float) -> set[Bond]:
    """Pairs of atoms that are closer than ``limit`` times the sum of their covalent radii."""
    radii = COVALENT_RADII[atoms.numbers]
    found = find_neighbours_of_many(
        atoms.positions,
        np.array([len(atoms)]),
        atoms.cell.array[None],
        atoms.pbc[None],
        max(2 * limit * float(radii.max()), 0.1),
    )
    i, j = found.receivers, found.senders
    vectors = atoms.positions[j] - atoms.positions[i] + found.shifts @ atoms.cell.array
    close = np.linalg.norm(vectors, axis=1) < limit * (radii[i] + radii[j])
    rows = np.column_stack([i, j, found.shifts])[close & (i < j)]
    return set(map(tuple, rows.tolist()))


def part_beyond(
    bonds: set[Bond], before: int, first: int
) -> tuple[dict[int, NDArray[np.int64]], bool]:
    """The atoms that hang together with ``first`` without the bond from ``before`` to it.

    Args:
        bonds: of the structure.
        before: an atom.
        first: another, bonded to it or not.

    Returns:
        Each atom with its image, relative to that of ``first``; and whether these are all: a chain
        that goes on into other images of its own atoms has no end.
    """
    neighbours: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
    for i, j, *shift in bonds:
        if {i, j} == {before, first}:
            continue
        image = np.array(shift)
        neighbours.setdefault(i, []).append((j, image))
        neighbours.setdefault(j, []).append((i, -image))
    found = {first: np.zeros(3, dtype=np.int64)}
    ends = True
    waiting = deque([first])
    while waiting:
        atom = waiting.popleft()
        for other, shift_to in neighbours.get(atom, []):
            there = found[atom] + shift_to
            if other not in found:
                found[other] = there
                waiting.append(other)
            elif (found[other] != there).any():
                ends = False
    return found, ends
