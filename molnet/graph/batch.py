"""Many structures as one disconnected graph.

All batches are made by :func:`collate`. Structures stay concatenated in flat arrays, and joining
them is arithmetic on indices, without a loop over structures.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from molnet.graph.container import Graph
from molnet.properties import Property


def collate(
    species: NDArray[np.integer],
    pos: NDArray[np.floating],
    counts: NDArray[np.integer],
    cell: NDArray[np.floating],
    pbc: NDArray[np.bool_],
    senders: NDArray[np.integer],
    receivers: NDArray[np.integer],
    edge_counts: NDArray[np.integer],
    shifts: NDArray[np.integer] | None = None,
    charge: NDArray[np.number] | None = None,
    labels: Mapping[Property, NDArray[np.floating]] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Graph:
    """Joins G structures with N atoms and E edges in all.

    Args:
        species: [N], atomic numbers, one structure after the other.
        pos: [N, 3], in Å.
        counts: [G], atoms in each structure.
        cell: [G, 3, 3], in Å. Structures without a periodic direction get a zero cell.
        pbc: [G, 3].
        senders: [E], counted within each structure.
        receivers: [E], likewise, ascending within each structure.
        edge_counts: [G], edges of each structure.
        shifts: [E, 3], integers; needed if a structure is periodic.
        charge: [G], total charges in e; zero by default.
        labels: [G, ...] or [N, ...] for each property, in internal units.
        dtype: of positions, cells, shifts, charges and labels; total energies are always float64.

    Returns:
        A batch with ``species``, ``pos``, ``edge_index`` (senders, receivers), ``cell``, ``pbc``,
        ``charge``, ``batch``, ``ptr``, the labels under their names, and ``shifts`` if any
        structure is periodic.
    """
    ptr = np.concatenate([[0], np.cumsum(counts)])
    first_atom = np.repeat(ptr[:-1], edge_counts)  # of each edge's structure
    periodic = np.asarray(pbc.any(axis=1))
    cell = np.where(periodic[:, None, None], cell, 0.0)

    def real(array: NDArray[np.generic]) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=dtype)  # a copy: arrays may be memory-mapped

    def whole(array: NDArray[np.generic]) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=torch.int64)

    graph = Graph(
        species=whole(species),
        pos=real(pos),
        edge_index=whole(np.stack([senders + first_atom, receivers + first_atom])),
        cell=real(cell),
        pbc=torch.tensor(np.asarray(pbc)),
        charge=real(np.zeros(len(counts)) if charge is None else charge),
        batch=whole(np.repeat(np.arange(len(counts)), counts)),
        ptr=whole(ptr),
    )
    if periodic.any():
        if shifts is None:
            raise ValueError("a batch with periodic structures needs the shifts of its edges")
        graph.shifts = real(shifts)
    for property, values in (labels or {}).items():
        label_dtype = torch.float64 if property.is_total_energy else dtype
        graph[property.name] = torch.tensor(np.asarray(values), dtype=label_dtype)
    return graph
