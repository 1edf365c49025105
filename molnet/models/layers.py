"""What the passes over a network are given, and the same network for autograd.

Features are kept in layout ``ir_mul``; every tensor of a setting is a constant of a pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from molnet.kernels import (
    CompiledGraph,
    CompiledLayers,
    Edges,
    LayerWeights,
    RowGroups,
    Weights,
    apply_blockwise,
    convolve,
)


@dataclass(frozen=True, eq=False)
class Setting:
    """The network and the graph, but for the tensors to differentiate by.

    Args:
        layers: of the network.
        species: indices ``[N]``.
        num_species: how many there are.
        senders, receivers: ``[E]``, receivers ascending.
    """

    layers: CompiledLayers
    species: Tensor
    num_species: int
    senders: Tensor
    receivers: Tensor

    @cached_property
    def graph(self) -> CompiledGraph:
        """The graph for the passes over the layers."""
        return self.layers.graph(self.species, self.num_species, self.senders, self.receivers)

    @cached_property
    def groups(self) -> RowGroups:
        """The nodes by species."""
        return RowGroups.of(self.species, self.num_species)

    @cached_property
    def edges(self) -> Edges:
        """The edges for single convolutions."""
        return Edges.of(self.senders, self.receivers, len(self.species))


def recorded(
    setting: Setting, vectors: Tensor, x: Tensor, weights: Iterable[LayerWeights]
) -> tuple[Tensor, Tensor]:
    """The same as :func:`molnet.models.propagation.propagate`, recorded function by function."""
    harmonics, basis, rows = setting.layers.edge_basis(vectors)
    scalars = []
    for layer, of_layer in zip(setting.layers.layers, weights, strict=True):
        of_in, of_out, of_own, table = cast(tuple[Tensor, ...], of_layer)
        sent = apply_blockwise(layer.linear_in, x, of_in)
        of_paths = Weights(basis, table, rows)
        messages = convolve(sent, harmonics, layer.coupling, of_paths, setting.edges, layer.plan)
        update = apply_blockwise(layer.linear_out, messages, of_out)
        if of_own is not None:
            update = apply_blockwise(layer.self_connection, x, of_own, setting.groups, onto=update)
        x = layer.gate(update)
        scalars.append(x[:, layer.scalars])
    return torch.cat(scalars, dim=1), x
