"""The passes over the layers of which the network's first two derivatives are made."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from molnet.models.layers import EdgeFunctions, Setting


class State(NamedTuple):
    """Features in a layer: coming in, sent, received, and on their way into the gate.

    Where no weights are trained, ``x`` is kept of the first layer alone, and no ``messages``.
    """

    x: Tensor | None
    sent: Tensor
    messages: Tensor | None
    update: Tensor


class Adjoint(NamedTuple):
    """Gradients in a layer: of what leaves the gate, enters it, was received, and was sent."""

    of_result: Tensor
    of_update: Tensor
    of_messages: Tensor
    of_sent: Tensor


Keeps = Literal["nothing", "states", "messages"]
"""What a pass forwards keeps: nothing, what gradients of vectors need, or what those of weights
need as well (several times as much)."""


def forwards(
    setting: Setting, of_edges: EdgeFunctions, x: Tensor, keeps: Keeps
) -> tuple[Tensor, Tensor, list[State]]:
    """Invariants of all layers side by side, features of the last, and those on the way.

    Args:
        setting, of_edges: the network and the graph.
        x: features of the species, ``[N, C]``.
        keeps: how much of the way.
    """
    scalars: list[Tensor] = []
    states: list[State] = []
    for layer in setting.layers:
        sent = layer.linear_in(x)
        messages = x.new_empty(len(x), layer.plan.output_size)
        given = [sent, of_edges.harmonics, of_edges.basis, layer.table]
        setting.convolution("forward", layer, of_edges, given, [messages])
        update = layer.linear_out(messages)
        if layer.self_connection is not None:
            layer.self_connection(x, setting.groups, onto=update)
        if keeps == "messages":
            states.append(State(x, sent, messages, update))
        elif keeps == "states":
            states.append(State(None if states else x, sent, None, update))
        x = layer.gate.evaluate(update)
        scalars.append(x[:, layer.scalars])
    return torch.cat(scalars, dim=1), x, states


def backwards(
    setting: Setting,
    of_edges: EdgeFunctions,
    states: Sequence[State],
    given: tuple[Tensor | None, Tensor | None],
    sources: Sequence[Tensor | None] = (),
    vectors: Tensor | None = None,
    trains: bool = False,
    adjoints: list[Adjoint] | None = None,
) -> tuple[Tensor | None, Tensor | None, list[Tensor | None]]:
    """From the gradients of invariants and features those of everything before them.

    Args:
        setting, of_edges, states: of the pass forwards.
        given: gradients of invariants and features.
        sources: gradients by ``sent`` and ``update`` of each layer to be added on the way.
        vectors: if their gradient is wanted.
        trains: whether gradients of the weights are wanted.
        adjoints: takes the gradients on the way, from the first layer to the last.

    Returns:
        Gradients of vectors, of the features of the species and of the weights; those that are not
        wanted are None.
    """
    of_scalars, of_features = given
    end = 0 if of_scalars is None else of_scalars.shape[1]
    gradient = None if of_features is None else of_features.clone()
    to_vectors = vectors is not None
    of_harmonics = of_basis = None
    of_weights: list[Tensor | None] = []
    for i, layer in reversed(list(enumerate(setting.layers))):
        x, sent, messages, update = states[i]
        source_sent, source_update = sources[2 * i : 2 * i + 2] or (None, None)
        if gradient is None:
            gradient = update.new_zeros(len(update), layer.gate.dim_out)
        if of_scalars is not None:
            start = end - (layer.scalars.stop - layer.scalars.start)
            gradient[:, layer.scalars].add_(of_scalars[:, start:end])
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
        arguments = [sent, of_edges.harmonics, of_edges.basis, layer.table]
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
        if adjoints is not None:
            adjoints.insert(0, Adjoint(of_result, of_update, of_messages, of_sent))

        if trains:
            x, of_own = cast(Tensor, x), None
            gradient, of_in = layer.linear_in.gradients(x, of_sent)
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
        return of_vectors, None, [None] * (4 * len(states))
    return of_vectors, gradient, of_weights


def along(
    setting: Setting,
    of_edges: EdgeFunctions,
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
            *(state.sent, of_edges.harmonics, of_edges.basis, layer.table),
            *(moved_sent, along_Y, along_B, None),
        ]
        moved_messages = torch.empty_like(adjoint.of_messages)
        setting.convolution("double_forward", layer, of_edges, given, [moved_messages])
        of_sent, of_table = torch.empty_like(state.sent), torch.empty_like(layer.table)
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


def _added(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    return part if total is None or part is None else total.add_(part)
