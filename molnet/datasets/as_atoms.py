"""Structures of a store as :class:`ase.Atoms`, to write them to files."""

from ase import Atoms

from molnet.datasets.store import ArrayStore


def as_atoms(store: ArrayStore, index: int) -> Atoms:
    """One structure: its geometry, columns and, where some structure is charged, total charge."""
    rows = slice(int(store.offsets[index]), int(store.offsets[index + 1]))
    atoms = Atoms(store.species[rows], store.positions[rows])
    if store.pbc is not None and store.cells is not None and store.pbc[index].any():
        atoms.cell, atoms.pbc = store.cells[index], store.pbc[index]
    atoms.info |= store.columns(index)
    if store.charge is not None:
        atoms.info["charge"] = int(store.charge[index])
    return atoms
