"""What the network's passes over a graph need: its layers, and the graph itself.

Features are kept in layout ``ir_mul``; every tensor named here is a constant of a pass.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from molnet.kernels import (
    CompiledEdgeBasis,
    CompiledGate,
    Edges,
    PackedMap,
    Plan,
    RowGroups,
    Weights,
    apply_blockwise,
    compiled,
    convolve,
)


class LayerWeights(NamedTuple):
    """What a layer learns: flat weights of its maps, and the table of its radial functions."""

    linear_in: Tensor
    linear_out: Tensor
    self_connection: Tensor | None
    table: Tensor


class Layer(NamedTuple):
    """An interaction with what follows from its weights alone.

    Attributes:
        table: of the radial functions.
        coupling, plan: of the convolution.
        scalars: where the even scalars are in the outgoing features.
    """

    table: Tensor
    linear_in: PackedMap
    linear_out: PackedMap
    self_connection: PackedMap | None
    coupling: Tensor
    plan: Plan
    gate: CompiledGate
    scalars: slice


class EdgeFunctions(NamedTuple):
    """What the network knows of edge vectors: see :class:`CompiledEdgeBasis`."""

    harmonics: Tensor
    basis: Tensor
    rows: Tensor


class Setting(NamedTuple):
    """The network and the graph, but for the tensors to differentiate by."""

    edge_basis: CompiledEdgeBasis
    layers: Sequence[Layer]
    groups: RowGroups
    edges: Edges

    def convolution(
        self,
        name: str,
        layer: Layer,
        of_edges: EdgeFunctions,
        given: Sequence[Tensor | None],
        outputs: Sequence[Tensor | None],
    ) -> None:
        """Run a kernel of a layer's convolution; it fills the outputs that are not None."""
        weights = Weights(of_edges.basis, layer.table, of_edges.rows)
        compiled.run(name, given, outputs, layer.coupling, weights, self.edges, layer.plan)


def recorded(
    setting: Setting, vectors: Tensor, x: Tensor, weights: Iterable[LayerWeights]
) -> tuple[Tensor, Tensor]:
    """The same as :func:`molnet.models.propagation.propagate`, recorded function by function."""
    harmonics, basis, rows = setting.edge_basis(vectors)
    scalars = []
    for layer, W in zip(setting.layers, weights, strict=True):
        sent = apply_blockwise(layer.linear_in.linear, x, W.linear_in)
        of_paths = Weights(basis, W.table, rows)
        messages = convolve(sent, harmonics, layer.coupling, of_paths, setting.edges, layer.plan)
        update = apply_blockwise(layer.linear_out.linear, messages, W.linear_out)
        if layer.self_connection is not None:
            own = layer.self_connection.linear
            weight = cast(Tensor, W.self_connection)
            update = apply_blockwise(own, x, weight, setting.groups, onto=update)
        x = layer.gate(update)
        scalars.append(x[:, layer.scalars])
    return torch.cat(scalars, dim=1), x
