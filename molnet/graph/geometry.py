"""Geometry of a batch: edge vectors, forces and virials from derivatives by edge vectors.

Energies depend on positions and cells through the edge vectors alone. With g_e = ∂E/∂r_e for each
edge e from sender j to receiver i, hence r_e = r_j − r_i + S·cell,

    forces    F_i = −∂E/∂r_i = Σ_{e → i} g_e − Σ_{e from i} g_e
    virial    ∂E/∂ε = Σ_e (r_e ⊗ g_e), made symmetric, for the strain r → r (1 + ε).
"""

import torch
from torch import Tensor

from molnet.graph.container import Graph


def exact_dtype(device: torch.device) -> torch.dtype:
    """The dtype for sums and positions that need all digits: float64 if the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def edge_vectors(graph: Graph) -> Tensor:
    """From each receiver i to its sender j: r_ij = r_j − r_i + S · cell, [E, 3] in Å.

    In float64 they do not depend on where in space a structure is; in float32 they lose digits
    with the distance from the origin.
    """
    senders, receivers = graph.edge_index
    pos = graph.pos
    vectors = pos.index_select(0, senders) - pos.index_select(0, receivers)
    if "shifts" not in graph:
        return vectors
    cell = graph.cell  # [E or 1, 3, 3]
    if len(cell) > 1:
        cell = cell.index_select(0, graph.batch.index_select(0, receivers))
    for axis in range(3):
        vectors = torch.addcmul(vectors, graph.shifts[:, axis : axis + 1], cell[:, axis])
    return vectors


def virial(graph: Graph, vectors: Tensor, gradients: Tensor) -> Tensor:
    """∂E/∂ε for a symmetric strain ε of each structure, [G, 3, 3] in the unit of E.

    Divided by :func:`volumes` it is the stress σ = (1/V) ∂E/∂ε, tension positive.

    Args:
        graph: a batch of G structures with E edges.
        vectors: :func:`edge_vectors`, [E, 3].
        gradients: ∂E/∂r_e, [E, 3].
    """
    receivers = graph.edge_index[1]
    products = vectors.unsqueeze(2) * gradients.unsqueeze(1)  # [E, 3, 3]
    of_atoms = products.new_zeros(len(graph.batch), 3, 3).index_add(0, receivers, products)
    total = of_atoms.new_zeros(graph.cell.shape, dtype=exact_dtype(of_atoms.device))
    total = total.index_add(0, graph.batch, of_atoms.to(total.dtype)).to(vectors.dtype)
    return (total + total.transpose(1, 2)) / 2


def volumes(graph: Graph) -> Tensor:
    """|det cell| of each structure, [G] in Å³; NaN where it does not have three cell vectors.

    As in ASE, the cell vector in the non-periodic direction of a slab counts: the stress then
    refers to the given cell, vacuum included. Molecules have no volume.
    """
    a, b, c = graph.cell.unbind(dim=1)
    volume = (torch.linalg.cross(a, b) * c).sum(dim=1).abs()
    return torch.where(volume > 0, volume, torch.nan)
