"""A network evaluated with its derivative by edge vectors written out.

Where nothing is to be differentiated but an energy by edge vectors, once, autograd's records cost
more than the kernels of a small molecule, and keep alive what no derivative reads. Here a forward
pass keeps what the backward pass needs, and both are plain calls of kernels.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from molnet.kernels import (
    CompiledEdgeBasis,
    CompiledGate,
    Edges,
    PackedMap,
    RowGroups,
    Weights,
    compiled,
)
from molnet.nn.convolution import Convolution


class Layer(NamedTuple):
    """An interaction with what follows from its weights alone."""

    linear_in: PackedMap
    linear_out: PackedMap
    self_connection: PackedMap | None
    table: Tensor
    convolution: Convolution
    gate: CompiledGate
    scalars: slice
    """Where the even scalars are in the outgoing features."""


class Evaluation(torch.autograd.Function):
    """Invariants of all layers and features of the last, which may be differentiated once."""

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        x: Tensor,
        edge_basis: CompiledEdgeBasis,
        layers: list[Layer],
        groups: RowGroups,
        edges: Edges,
    ) -> tuple[Tensor, Tensor]:
        harmonics, basis, rows = edge_basis.evaluate(vectors)
        scalars = []
        kept = []
        for layer in layers:
            sent = layer.linear_in(x)
            weights = Weights(basis, layer.table, rows)
            coupling, plan = layer.convolution.constants[0], layer.convolution.plan
            messages = compiled.forward(sent, harmonics, coupling, weights, edges, plan)
            update = layer.linear_out(messages)
            if layer.self_connection is not None:
                layer.self_connection(x, groups, onto=update)
            x = layer.gate.evaluate(update)
            scalars.append(x[:, layer.scalars])
            if ctx.needs_input_grad[0]:
                kept.append((layer, sent, weights, update))
        ctx.kept, ctx.vectors, ctx.edge_basis = kept, vectors, edge_basis
        ctx.harmonics, ctx.groups, ctx.edges = harmonics, groups, edges
        ctx.set_materialize_grads(False)
        return torch.cat(scalars, dim=1), x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, of_scalars: Tensor | None, of_features: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        end = 0 if of_scalars is None else of_scalars.shape[1]
        gradient = None if of_features is None else of_features.clone()
        of_harmonics, of_basis = torch.zeros_like(ctx.harmonics), None
        for layer, sent, weights, update in reversed(ctx.kept):
            if gradient is None:
                gradient = update.new_zeros(len(update), layer.gate.dim_out)
            if of_scalars is not None:
                start = end - (layer.scalars.stop - layer.scalars.start)
                gradient[:, layer.scalars] += of_scalars[:, start:end]
                end = start
            of_update = layer.gate.gradient(update, gradient)
            of_sent, by_harmonics, by_basis = compiled.gradients(
                layer.linear_out.transpose(of_update),
                sent,
                ctx.harmonics,
                layer.convolution.constants[0],
                weights,
                ctx.edges,
                layer.convolution.plan,
            )
            of_harmonics += by_harmonics
            of_basis = by_basis if of_basis is None else of_basis.add_(by_basis)
            gradient = layer.linear_in.transpose(of_sent)
            if layer.self_connection is not None:
                layer.self_connection.transpose(of_update, ctx.groups, onto=gradient)
        of_vectors = ctx.edge_basis.gradient(ctx.vectors, of_harmonics, of_basis)
        return of_vectors, *[None] * 5
