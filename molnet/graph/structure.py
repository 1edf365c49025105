"""From ASE's structures to graphs."""

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Batch

from molnet.graph.batch import collate
from molnet.graph.neighbours import Neighbours, StructureError, find_neighbours


def from_atoms(
    atoms_list: Sequence[Atoms], cutoff: float, dtype: torch.dtype = torch.float32
) -> Batch:
    """The radius graph of each structure, joined into one batch.

    Constraints and calculators of the structures play no part. A structure that is periodic in no
    direction is a molecule: its cell, if it has one, is ignored.

    Args:
        atoms_list: at least one structure.
        cutoff: in Å.
        dtype: of the batch's positions and cells. Neighbours are found in float64.

    Raises:
        StructureError: when a structure has no atoms, or one of the faults that
            :func:`find_neighbours` names; ``index`` is its place in ``atoms_list``.
    """
    if len(atoms_list) == 0:
        raise ValueError("expected at least one structure, received none")
    neighbours = [_neighbours(atoms, index, cutoff) for index, atoms in enumerate(atoms_list)]
    return collate(
        species=np.concatenate([atoms.numbers for atoms in atoms_list]),
        pos=np.concatenate([atoms.positions for atoms in atoms_list]),
        counts=np.array([len(atoms) for atoms in atoms_list]),
        cell=np.stack([np.asarray(atoms.cell) for atoms in atoms_list]),
        pbc=np.stack([atoms.pbc for atoms in atoms_list]),
        senders=np.concatenate([edges.senders for edges in neighbours]),
        receivers=np.concatenate([edges.receivers for edges in neighbours]),
        edge_counts=np.array([len(edges.senders) for edges in neighbours]),
        shifts=np.concatenate([edges.shifts for edges in neighbours]),
        dtype=dtype,
    )


def _neighbours(atoms: Atoms, index: int, cutoff: float) -> Neighbours:
    if len(atoms) == 0:
        raise StructureError("the structure has no atoms. Leave it out.", index)
    try:
        return find_neighbours(atoms.positions, np.asarray(atoms.cell), atoms.pbc, cutoff)
    except StructureError as error:
        raise StructureError(str(error), index) from None
