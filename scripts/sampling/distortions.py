"""Structures far from thermal ones: bonds stretched or twisted, atoms rattled, all squeezed."""

import numpy as np
from ase.data import covalent_radii
from scipy.spatial.transform import Rotation

BONDED = 1.25  # two atoms are bonded within this multiple of the sum of their covalent radii


def bond_matrix(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Which atoms are bonded, from their distances: bool [N, N]."""
    radii = covalent_radii[numbers]
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    bonded = distances < BONDED * (radii[:, None] + radii)
    np.fill_diagonal(bonded, False)
    return bonded


def fragment(bonded: np.ndarray, i: int, j: int) -> np.ndarray:
    """Atoms that hang on ``j`` when its bond with ``i`` is cut: bool [N]."""
    kept = bonded.copy()
    kept[i, j] = kept[j, i] = False
    reached = np.arange(len(kept)) == j
    while True:
        grown = reached | kept[reached].any(axis=0)
        if np.array_equal(grown, reached):
            return reached
        reached = grown


def stretched(bonded: np.ndarray, positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One or two bonds scaled by 0.6 to 1.9: the smaller side moves, in a ring one atom."""
    bonds = np.argwhere(np.triu(bonded))
    positions = positions.copy()
    for _ in range(min(int(rng.integers(1, 3)), len(bonds))):
        i, j = bonds[rng.integers(len(bonds))]
        side = fragment(bonded, i, j)
        if np.count_nonzero(side) > len(side) // 2 and not side[i]:
            i, j, side = j, i, ~side
        if side[i]:  # in a ring both ends hang together: only the one atom moves
            side = np.arange(len(side)) == j
        factor = rng.uniform(0.6, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, 1.9)
        positions[side] += (factor - 1.0) * (positions[j] - positions[i])
    return positions


def rattled(positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every coordinate moved by Gaussian noise of 0.02 to 0.20 Å."""
    return positions + rng.normal(scale=rng.uniform(0.02, 0.20), size=positions.shape)


def scaled(positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All distances multiplied by 0.72 to 1.25, and a little noise."""
    return rattled(positions * rng.uniform(0.72, 1.25), rng) if len(positions) > 1 else positions


def pressed(numbers: np.ndarray, positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One atom moved to 0.4 to 0.8 times the sum of the radii from one of its six nearest."""
    positions = positions.copy()
    i = rng.integers(len(positions))
    distances = np.linalg.norm(positions - positions[i], axis=1)
    j = rng.choice(np.argsort(distances)[1:7])
    radii = covalent_radii[numbers[[i, j]]].sum()
    away = (positions[i] - positions[j]) / distances[j] + rng.normal(scale=0.3, size=3)
    positions[i] = positions[j] + rng.uniform(0.4, 0.8) * radii * away / np.linalg.norm(away)
    return positions


def twisted(bonded: np.ndarray, positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One to three bonds outside rings turned by any angle; other atoms may come close."""
    positions = positions.copy()
    bonds = [
        (i, j)
        for i, j in np.argwhere(bonded)
        if not (side := fragment(bonded, i, j))[i] and 1 < np.count_nonzero(side) < len(side) - 1
    ]
    for _ in range(rng.integers(1, 4)):
        if bonds:
            i, j = bonds[rng.integers(len(bonds))]
            side = fragment(bonded, i, j)
            axis = positions[j] - positions[i]
            turn = Rotation.from_rotvec(rng.uniform(0, 2 * np.pi) * axis / np.linalg.norm(axis))
            positions[side] = turn.apply(positions[side] - positions[j]) + positions[j]
    return positions
