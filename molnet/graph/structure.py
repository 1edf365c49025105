"""From ASE's structures to graphs."""

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph.batch import collate
from molnet.graph.charge import total_charge
from molnet.graph.container import Graph
from molnet.graph.neighbours import StructureError
from molnet.graph.neighbours_of_many import find_neighbours_of_many


def from_atoms(
    atoms_list: Sequence[Atoms], cutoff: float, dtype: torch.dtype = torch.float32
) -> Graph:
    """The radius graph of each structure, joined into one batch.

    Constraints and calculators of the structures are ignored. A structure without a periodic
    direction is a molecule; its cell is ignored. Total charges are those of
    :func:`~molnet.graph.charge.total_charge`.

    Args:
        atoms_list: at least one structure.
        cutoff: in Å.
        dtype: of the batch's positions and cells. Neighbours are found in float64.

    Raises:
        StructureError: when a structure has no atoms, contradictory charges, or one of the faults
            that :func:`find_neighbours` names; ``index`` is its place in ``atoms_list``.
    """
    if len(atoms_list) == 0:
        raise ValueError("expected at least one structure, received none")
    counts = np.array([len(atoms) for atoms in atoms_list])
    if not counts.all():
        empty = int(counts.argmin())
        raise StructureError("the structure has no atoms. Leave it out.", empty)
    positions = np.concatenate([atoms.positions for atoms in atoms_list])
    cells = np.stack([np.asarray(atoms.cell) for atoms in atoms_list])
    pbc = np.stack([atoms.pbc for atoms in atoms_list])
    edges = find_neighbours_of_many(positions, counts, cells, pbc, cutoff)
    return collate(
        species=np.concatenate([atoms.numbers for atoms in atoms_list]),
        pos=positions,
        counts=counts,
        cell=cells,
        pbc=pbc,
        senders=edges.senders,
        receivers=edges.receivers,
        edge_counts=edges.counts,
        shifts=edges.shifts,
        charge=total_charges(atoms_list),
        dtype=dtype,
    )


def total_charges(atoms_list: Sequence[Atoms]) -> NDArray[np.float64]:
    """The total charge of each structure, see :func:`~molnet.graph.charge.total_charge`.

    Raises:
        StructureError: ``index`` is the place of the structure that is at fault.
    """
    charges = np.zeros(len(atoms_list))
    for index, atoms in enumerate(atoms_list):
        try:
            charges[index] = total_charge(atoms)
        except StructureError as error:
            raise StructureError(str(error), index) from None
    return charges
