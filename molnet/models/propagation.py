"""The network with its first two derivatives written out as calls of kernels.

Training on forces differentiates the network twice: by edge vectors, and the result by weights.
Autograd records some hundred small functions for that, and with few molecules keeping its records
takes longer than the arithmetic. Here it sees two:

====================  ==================================================  ======================
function              computes                                            its backward pass uses
====================  ==================================================  ======================
:class:`Propagation`  invariants s and features x of edge vectors r       :class:`_Gradient`
:class:`_Gradient`    v = ∂(g·(s, x))/∂r                                  the change along t
====================  ==================================================  ======================

The derivative of v·t by g and by the weights follows the change of all features along t, forwards
through the layers. On its way it also finds derivatives by the features that each layer sends and
gates: these are outputs of :class:`Propagation`, so that one pass backwards then serves energies
and forces together. What goes further (second derivatives by r, third ones by anything) is left to
autograd, which differentiates :func:`recorded`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from molnet.kernels import (
    CompiledEdgeBasis,
    CompiledGate,
    Edges,
    PackedMap,
    RowGroups,
    Weights,
    apply_blockwise,
    compiled,
    convolve,
)
from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients
from molnet.nn.convolution import Convolution


class LayerWeights(NamedTuple):
    """What a layer learns: flat weights of its maps, and the table of its radial functions."""

    linear_in: Tensor
    linear_out: Tensor
    self_connection: Tensor | None
    table: Tensor


class Layer(NamedTuple):
    """An interaction with what follows from its weights alone.

    Attributes:
        weights: as constants.
        scalars: where the even scalars are in the outgoing features.
    """

    weights: LayerWeights
    linear_in: PackedMap
    linear_out: PackedMap
    self_connection: PackedMap | None
    convolution: Convolution
    gate: CompiledGate
    scalars: slice


class OfEdges(NamedTuple):
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
        of_edges: OfEdges,
        given: Sequence[Tensor | None],
        outputs: Sequence[Tensor | None],
    ) -> None:
        """Run a kernel of a layer's convolution; it fills the outputs that are not None."""
        weights = Weights(of_edges.basis, layer.weights.table, of_edges.rows)
        coupling, plan = layer.convolution.constants[0], layer.convolution.plan
        compiled.run(name, given, outputs, coupling, weights, self.edges, plan)


class State(NamedTuple):
    """Features in a layer: coming in, sent, received (if anybody asks), and before the gate."""

    x: Tensor
    sent: Tensor
    messages: Tensor | None
    update: Tensor


class Adjoint(NamedTuple):
    """Gradients in a layer: of what leaves the gate, enters it, was received, and was sent."""

    of_result: Tensor
    of_update: Tensor
    of_messages: Tensor
    of_sent: Tensor


def propagate(
    setting: Setting, vectors: Tensor, x: Tensor, weights: Iterable[LayerWeights]
) -> tuple[Tensor, Tensor]:
    """Invariants of all layers side by side, ``[N, T * C]``, and the features of the last.

    Args:
        setting: the network and the graph.
        vectors: ``[E, 3]``.
        x: features of the species, ``[N, C]``.
        weights: those of ``setting.layers``, as constants or to be differentiated by.
    """
    # Leaves are passed as views: see molnet.kernels.engine.
    flat = [
        w.view_as(w) if w is not None and w.requires_grad else w for four in weights for w in four
    ]
    scalars, features, *_ = Propagation.apply(vectors, x, setting, *flat)
    return scalars, features


def recorded(
    setting: Setting, vectors: Tensor, x: Tensor, weights: Iterable[LayerWeights]
) -> tuple[Tensor, Tensor]:
    """The same as :func:`propagate`, recorded by autograd function by function."""
    harmonics, basis, rows = setting.edge_basis(vectors)
    scalars = []
    for layer, W in zip(setting.layers, weights, strict=True):
        sent = apply_blockwise(layer.linear_in.linear, x, W.linear_in)
        coupling, plan = layer.convolution.constants[0], layer.convolution.plan
        of_edges = Weights(basis, W.table, rows)
        messages = convolve(sent, harmonics, coupling, of_edges, setting.edges, plan)
        update = apply_blockwise(layer.linear_out.linear, messages, W.linear_out)
        if layer.self_connection is not None:
            own = layer.self_connection.linear
            weight = cast(Tensor, W.self_connection)
            update = apply_blockwise(own, x, weight, setting.groups, onto=update)
        x = layer.gate(update)
        scalars.append(x[:, layer.scalars])
    return torch.cat(scalars, dim=1), x


class Propagation(Function):
    """Invariants, features, and where weights are trained ``sent`` and ``update`` of each layer."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, x: Tensor, setting: Setting, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        trains = any(ctx.needs_input_grad[1:])
        of_edges = OfEdges(*setting.edge_basis.evaluate(vectors))
        scalars, states = [], []
        for layer in setting.layers:
            sent = layer.linear_in(x)
            messages = x.new_empty(len(x), layer.convolution.plan.output_size)
            given = [sent, of_edges.harmonics, of_edges.basis, layer.weights.table]
            setting.convolution("forward", layer, of_edges, given, [messages])
            update = layer.linear_out(messages)
            if layer.self_connection is not None:
                layer.self_connection(x, setting.groups, onto=update)
            if any(ctx.needs_input_grad):
                states.append(State(x, sent, messages if trains else None, update))
            x = layer.gate.evaluate(update)
            scalars.append(x[:, layer.scalars])
        ctx.setting, ctx.of_edges = setting, of_edges
        ctx.save_for_backward(vectors, *weights, *(tensor for state in states for tensor in state))
        ctx.set_materialize_grads(False)
        outputs = [tensor for state in states for tensor in (state.sent, state.update)]
        return torch.cat(scalars, dim=1), x, *(outputs if trains else [])

    @staticmethod
    def backward(
        ctx: Any, of_scalars: Tensor | None, of_features: Tensor | None, *of_states: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        setting, (vectors, *tensors) = ctx.setting, ctx.saved_tensors
        states = _states(tensors)
        to_vectors, *to_weights = wanted_gradients(ctx)
        given = of_scalars, of_features
        if not torch.is_grad_enabled():
            of_vectors, of_x, of_weights, _ = _backwards(
                setting,
                ctx.of_edges,
                states,
                given,
                sources=of_states,
                vectors=vectors if to_vectors else None,
                trains=any(to_weights),
            )
            return of_vectors, of_x, None, *of_weights
        if any(to_weights):
            inputs = as_inputs([vectors, states[0].x, *tensors[: 4 * len(states)]])
            of_vectors, of_x, *of_weights = _of_recorded(setting, inputs, given)
            return of_vectors, of_x, None, *of_weights
        of_vectors = _Gradient.apply(vectors, *given, setting, ctx.of_edges, *tensors)
        return of_vectors, *[None] * (2 + 4 * len(states))


class _Gradient(Function):
    """The gradient of vectors from those of invariants and features."""

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        of_scalars: Tensor | None,
        of_features: Tensor | None,
        setting: Setting,
        of_edges: OfEdges,
        *tensors: Tensor | None,
    ) -> Tensor:
        states = _states(tensors)
        of_vectors, _, _, ctx.adjoints = _backwards(
            setting, of_edges, states, (of_scalars, of_features), vectors=vectors
        )
        ctx.setting, ctx.of_edges = setting, of_edges
        ctx.save_for_backward(vectors, of_scalars, of_features, *tensors)
        return cast(Tensor, of_vectors)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        vectors, of_scalars, of_features, *tensors = ctx.saved_tensors
        states = _states(tensors)
        if torch.is_grad_enabled() or wanted_gradients(ctx)[0]:
            with torch.enable_grad():
                inputs = as_inputs([vectors, states[0].x, *tensors[: 4 * len(states)]])
                given = as_inputs([of_scalars, of_features])
                v, *_ = _of_recorded(ctx.setting, inputs, given)
                of_inputs = differentiated([cast(Tensor, v)], [*inputs, *given], [t])
            of_vectors, of_x, *of_weights = of_inputs[:-2]
            of_states = [of_x, *[None] * (4 * len(states) - 1)]
            return of_vectors, *of_inputs[-2:], None, None, *of_weights, *of_states
        along, of_weights, of_states = _along(
            ctx.setting, ctx.of_edges, states, ctx.adjoints, vectors, t
        )
        of_given = (
            None if g is None else a for g, a in zip((of_scalars, of_features), along, strict=True)
        )
        return None, *of_given, None, None, *of_weights, *of_states


def _states(tensors: Sequence[Any]) -> list[State]:
    """The second half of what both functions keep: weights, then states, four for each layer."""
    half = len(tensors) // 2
    return [State(*tensors[i : i + 4]) for i in range(half, 2 * half, 4)]


def _backwards(
    setting: Setting,
    of_edges: OfEdges,
    states: Sequence[State],
    given: tuple[Tensor | None, Tensor | None],
    sources: Sequence[Tensor | None] = (),
    vectors: Tensor | None = None,
    trains: bool = False,
) -> tuple[Tensor | None, Tensor | None, list[Tensor | None], list[Adjoint]]:
    """From the gradients of invariants and features those of everything before them.

    Args:
        setting, of_edges, states: of the pass forwards.
        given: gradients of invariants and features.
        sources: gradients by ``sent`` and ``update`` of each layer to be added on the way.
        vectors: if their gradient is wanted.
        trains: whether gradients of the weights are wanted.

    Returns:
        Gradients of vectors, of the features of the species and of the weights, and those on the
        way, from the first layer to the last.
    """
    of_scalars, of_features = given
    end = 0 if of_scalars is None else of_scalars.shape[1]
    gradient = None if of_features is None else of_features.clone()
    to_vectors = vectors is not None
    of_harmonics = of_basis = None
    of_weights: list[Tensor | None] = []
    adjoints: list[Adjoint] = []
    for i, layer in reversed(list(enumerate(setting.layers))):
        x, sent, messages, update = states[i]
        source_sent, source_update = sources[2 * i : 2 * i + 2] or (None, None)
        if gradient is None:
            gradient = update.new_zeros(len(update), layer.gate.dim_out)
        if of_scalars is not None:
            start = end - (layer.scalars.stop - layer.scalars.start)
            gradient[:, layer.scalars] += of_scalars[:, start:end]
            end = start
        of_result, of_update = gradient, layer.gate.gradient(update, gradient)
        if source_update is not None:
            of_update += source_update

        own = layer.self_connection
        if trains:
            of_messages, of_out = layer.linear_out.gradients(cast(Tensor, messages), of_update)
        else:
            of_messages = layer.linear_out.transposed(of_update)
        of_sent = torch.empty_like(sent)
        arguments = [sent, of_edges.harmonics, of_edges.basis, layer.weights.table]
        of_Y, of_B, of_table = (
            torch.empty_like(argument) if wanted else None
            for argument, wanted in zip(
                arguments[1:], (to_vectors, to_vectors, trains), strict=True
            )
        )
        outputs = [of_sent, of_Y, of_B, of_table]
        setting.convolution("backward", layer, of_edges, [of_messages, *arguments], outputs)
        of_harmonics, of_basis = _added(of_harmonics, of_Y), _added(of_basis, of_B)
        if source_sent is not None:
            of_sent += source_sent
        adjoints.insert(0, Adjoint(of_result, of_update, of_messages, of_sent))

        if trains:
            gradient, of_in = layer.linear_in.gradients(x, of_sent)
            of_own = None
            if own is not None:
                _, of_own = own.gradients(x, of_update, setting.groups, onto=gradient)
            of_weights[:0] = [of_in, of_out, of_own, of_table]
        elif i > 0:
            gradient = layer.linear_in.transposed(of_sent)
            if own is not None:
                own.transposed(of_update, setting.groups, onto=gradient)
    of_vectors = None
    if vectors is not None and of_harmonics is not None and of_basis is not None:
        of_vectors = setting.edge_basis.gradient(vectors, of_harmonics, of_basis)
    if not trains:
        return of_vectors, None, [None] * (4 * len(states)), adjoints
    return of_vectors, gradient, of_weights, adjoints


def _along(
    setting: Setting,
    of_edges: OfEdges,
    states: Sequence[State],
    adjoints: Sequence[Adjoint],
    vectors: Tensor,
    t: Tensor,
) -> tuple[tuple[Tensor, Tensor], list[Tensor | None], list[Tensor | None]]:
    """How invariants and features change along t, and what that says of v·t.

    Args:
        setting, of_edges, states: of the pass forwards.
        adjoints: of the pass backwards that led to v.
        vectors, t: ``[E, 3]``.

    Returns:
        The changes of invariants and features; the derivatives of v·t by weights and states.
    """
    along_Y, along_B = setting.edge_basis.new(vectors)
    setting.edge_basis.run("tangent", [vectors, t], [along_Y, along_B])
    moved: Tensor | None = None  # nothing changes before the first layer
    scalars = []
    of_weights: list[Tensor | None] = []
    of_states: list[Tensor | None] = []
    for layer, state, adjoint in zip(setting.layers, states, adjoints, strict=True):
        of_in = of_own = None
        if moved is None:
            moved_sent = torch.zeros_like(state.sent)
        else:
            moved_sent, of_in = layer.linear_in.transposed.gradients(adjoint.of_sent, moved)
        given = [
            *(state.sent, of_edges.harmonics, of_edges.basis, layer.weights.table),
            *(moved_sent, along_Y, along_B, None),
        ]
        moved_messages = torch.empty_like(adjoint.of_messages)
        setting.convolution("double_forward", layer, of_edges, given, [moved_messages])
        of_sent, of_table = torch.empty_like(state.sent), torch.empty_like(layer.weights.table)
        setting.convolution(
            "double_backward",
            layer,
            of_edges,
            [adjoint.of_messages, *given],
            [of_sent, None, None, of_table],
        )
        moved_update, of_out = layer.linear_out.transposed.gradients(
            adjoint.of_update, moved_messages
        )
        own = layer.self_connection
        if moved is not None and own is not None:
            _, of_own = own.transposed.gradients(
                adjoint.of_update, moved, setting.groups, onto=moved_update
            )
        gate = layer.gate
        moved, of_update = gate.run(
            "tangent", [state.update, adjoint.of_result, moved_update], [gate.dim_out, gate.dim_in]
        )
        scalars.append(moved[:, layer.scalars])
        of_weights += [of_in, of_out, of_own, of_table]
        of_states += [None, of_sent, None, of_update]
    return (torch.cat(scalars, dim=1), cast(Tensor, moved)), of_weights, of_states


def _of_recorded(
    setting: Setting, inputs: Sequence[Any], given: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Gradients of vectors, species' features and weights, to be differentiated further."""
    with torch.enable_grad():
        vectors, x, *weights = inputs
        of_layers = [LayerWeights(*weights[i : i + 4]) for i in range(0, len(weights), 4)]
        return differentiated(recorded(setting, vectors, x, of_layers), inputs, given)


def _added(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    return part if total is None or part is None else total.add_(part)
