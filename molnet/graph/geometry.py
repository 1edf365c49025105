"""Differentiable geometry of a batch: edge vectors, strain and volumes."""

import copy

import torch
from torch import Tensor
from torch_geometric.data import Batch


def edge_vectors(graph: Batch) -> Tensor:
    """From each receiver i to its sender j: r_ij = r_j − r_i + S · cell, [E, 3] in Å."""
    senders, receivers = graph.edge_index
    vectors = graph.pos.index_select(0, senders) - graph.pos.index_select(0, receivers)
    if "shifts" not in graph:
        return vectors
    cell = graph.cell.index_select(0, graph.batch.index_select(0, receivers))  # [E, 3, 3]
    return vectors + torch.einsum("ea,eax->ex", graph.shifts, cell)


def strained(graph: Batch, strain: Tensor) -> Batch:
    """The same graph with space deformed: r → r (1 + ε), and the cell's vectors likewise.

    Only the symmetric part of ε acts (the rest is a rotation), so that with E the energies of
    ``strained(graph, strain)`` at ``strain = 0``, ∂E/∂ε divided by :func:`volumes` is the stress
    σ = (1/V) ∂E/∂ε as a symmetric matrix, tension positive.

    Args:
        graph: a batch of G structures; it stays as it is.
        strain: ε, [G, 3, 3].
    """
    symmetric = (strain + strain.transpose(1, 2)) / 2
    per_atom = symmetric.index_select(0, graph.batch)  # [N, 3, 3]
    deformed = copy.copy(graph)
    deformed.pos = graph.pos + torch.einsum("nx,nxy->ny", graph.pos, per_atom)
    deformed.cell = graph.cell + graph.cell @ symmetric
    return deformed


def volumes(graph: Batch) -> Tensor:
    """|det cell| of each structure, [G] in Å³; NaN where it does not have three cell vectors.

    A slab's vector in its non-periodic direction counts, as it does in ASE: stress then refers to
    the volume that the user gave, vacuum included. Molecules have no volume.
    """
    a, b, c = graph.cell.unbind(dim=1)
    volume = (torch.linalg.cross(a, b) * c).sum(dim=1).abs()
    return torch.where(volume > 0, volume, torch.nan)
