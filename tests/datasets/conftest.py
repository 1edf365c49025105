"""Small data sets for the tests of this folder."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from molnet.datasets.store import ArrayStore, StoreWriter
from molnet.properties import get_property


@pytest.fixture
def mixed() -> list[Atoms]:
    """Molecules, an isolated atom, a skewed bulk cell smaller than a cutoff, and a slab."""
    rng = np.random.default_rng(1)
    frames = [
        molecule("CH3CH2OH"),
        Atoms("He", [[1.0, 2.0, 3.0]]),
        bulk("Cu"),
        fcc111("Al", size=(2, 1, 2), vacuum=4.0),
        molecule("H2O"),
    ]
    for atoms in frames:
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return frames


@pytest.fixture
def mixed_store(mixed: list[Atoms], tmp_path: Path) -> ArrayStore:
    """The same structures as a store, with random energies and forces."""
    rng = np.random.default_rng(2)
    properties = [get_property("energy"), get_property("forces")]
    with StoreWriter(tmp_path / "mixed", properties, source={}) as writer:
        for atoms in mixed:
            labels = {"energy": rng.normal(), "forces": rng.normal(size=(len(atoms), 3))}
            writer.add(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, labels)
    return ArrayStore.open(tmp_path / "mixed")
