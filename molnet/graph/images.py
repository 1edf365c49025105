"""The periodic images of atoms that make up one molecule.

In a periodic structure every position stands for all its images. A property of the positions
themselves, such as a dipole, needs the images of one molecule: those that edges connect. With
integer images n, an edge from j to i with shift S joins r_j + n_j·cell and r_i + n_i·cell if

    n_j = n_i + S.

So the image of one atom determines the images of its neighbours, and so on. If edges lead back to
another image of the same atom, as in a crystal, there is no molecule.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.graph.container import Graph
from molnet.graph.elements import COVALENT_RADII
from molnet.graph.geometry import edge_vectors
from molnet.graph.neighbours import StructureError

LONGEST_BOND = 1.3
"""Sums of covalent radii up to which atoms are taken as bonded."""


def unwrapped(graph: Graph) -> Tensor:
    """Positions of the images that form one molecule, [N, 3] in Å.

    The images are found along the bonds if these connect all atoms, and no atom with its own image.
    Otherwise they are found along all edges, under the same condition: this serves molecules whose
    images are beyond the cutoff. Structures without periodic directions keep their positions.

    The first atom of each structure stays where it is. The result is differentiable.

    Raises:
        StructureError: neither bonds nor edges determine the images; ``index`` is the place of the
            structure in the batch.
    """
    if "shifts" not in graph:
        return graph.pos
    with torch.no_grad():
        lengths = torch.linalg.vector_norm(edge_vectors(graph), dim=1).cpu().numpy()
    senders, receivers = graph.edge_index.cpu().numpy()
    shifts = graph.shifts.cpu().numpy().round().astype(np.int64)
    radii = COVALENT_RADII[graph.species.cpu().numpy()]
    bonded = lengths < LONGEST_BOND * (radii[senders] + radii[receivers])
    owners, first = graph.batch.cpu().numpy(), graph.ptr.cpu().numpy()[:-1]

    images = np.zeros((len(owners), 3), dtype=np.int64)
    # Structures whose images are yet to be found.
    unclear = np.asarray(graph.pbc.cpu().numpy().any(axis=1))
    for of_kind in (bonded, np.ones_like(bonded)):
        used = of_kind & unclear[owners[receivers]]
        edges = senders[used], receivers[used], shifts[used]
        found, connected = _along(*edges, first, len(owners))
        fits = found[edges[0]] == found[edges[1]] + edges[2]
        failed = np.zeros_like(unclear)
        failed[owners[~connected]] = True
        failed[owners[edges[1][~fits.all(axis=1)]]] = True
        solved = unclear & ~failed
        images[solved[owners]] = found[solved[owners]]
        unclear &= failed
    if unclear.any():
        raise _ambiguous(int(unclear.argmax()))
    moved = torch.from_numpy(images).to(graph.pos)
    return graph.pos + torch.einsum("na,nax->nx", moved, graph.cell[graph.batch])


def _along(
    senders: NDArray[np.int64],
    receivers: NDArray[np.int64],
    shifts: NDArray[np.int64],
    first: NDArray[np.int64],
    atoms: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Images [N, 3] of atoms connected to the first of their structure, and a mask of these [N]."""
    images = np.zeros((atoms, 3), dtype=np.int64)
    connected = np.zeros(atoms, dtype=np.bool_)
    connected[first] = True
    while True:
        new = connected[senders] & ~connected[receivers]
        if not new.any():
            return images, connected
        images[receivers[new]] = images[senders[new]] - shifts[new]
        connected[receivers[new]] = True
        rest = ~connected[receivers]
        senders, receivers, shifts = senders[rest], receivers[rest], shifts[rest]


def _ambiguous(index: int) -> StructureError:
    return StructureError(
        "dipoles and spatial extents are properties of molecules, and this periodic structure is "
        "not one molecule: bonds connect it with its own images, or it consists of several "
        "molecules among images of each other. Take a molecule out of its box (pbc = False), or "
        "leave this structure out.",
        index,
    )
