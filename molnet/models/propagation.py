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

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients
from molnet.models.layers import LayerWeights, OfEdges, Setting, recorded
from molnet.models.passes import Keeps, State, along, backwards, forwards


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


def evaluate(
    setting: Setting, vectors: Tensor, x: Tensor, keeps: Keeps = "states"
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """The same as :func:`propagate`, with nothing recorded by autograd.

    Args:
        setting, vectors, x: as above.
        keeps: "nothing" where gradients are of no use.

    Returns:
        Invariants, features of the last layer, and a function from gradients of the invariants to
        those of the vectors.
    """
    of_edges = OfEdges(*setting.edge_basis.evaluate(vectors))
    scalars, features, states = forwards(setting, of_edges, x, keeps)

    def pull_back(of_scalars: Tensor) -> Tensor:
        given = of_scalars, None
        of_vectors, *_ = backwards(setting, of_edges, states, given, vectors=vectors)
        return cast(Tensor, of_vectors)

    return scalars, features, pull_back


class Propagation(Function):
    """Invariants, features, and where weights are trained ``sent`` and ``update`` of each layer."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, x: Tensor, setting: Setting, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        trains = any(ctx.needs_input_grad[1:])
        of_edges = OfEdges(*setting.edge_basis.evaluate(vectors))
        keeps: Keeps = "messages" if trains else "states" if ctx.needs_input_grad[0] else "nothing"
        scalars, features, states = forwards(setting, of_edges, x, keeps)
        ctx.setting, ctx.of_edges = setting, of_edges
        ctx.save_for_backward(vectors, *weights, *(tensor for state in states for tensor in state))
        ctx.set_materialize_grads(False)
        outputs = [tensor for state in states for tensor in (state.sent, state.update)]
        return scalars, features, *(outputs if trains else [])

    @staticmethod
    def backward(
        ctx: Any, of_scalars: Tensor | None, of_features: Tensor | None, *of_states: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        setting, (vectors, *tensors) = ctx.setting, ctx.saved_tensors
        states = _states(tensors)
        to_vectors, *to_weights = wanted_gradients(ctx)
        given = of_scalars, of_features
        if not torch.is_grad_enabled():
            of_vectors, of_x, of_weights = backwards(
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
        given, ctx.adjoints = (of_scalars, of_features), []
        of_vectors, *_ = backwards(
            setting, of_edges, states, given, vectors=vectors, adjoints=ctx.adjoints
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
        changes, of_weights, of_states = along(
            ctx.setting, ctx.of_edges, states, ctx.adjoints, vectors, t
        )
        of_given = (
            None if g is None else change
            for g, change in zip((of_scalars, of_features), changes, strict=True)
        )
        return None, *of_given, None, None, *of_weights, *of_states


def _states(tensors: Sequence[Any]) -> list[State]:
    """The second half of what both functions keep: weights, then states, four for each layer."""
    half = len(tensors) // 2
    return [State(*tensors[i : i + 4]) for i in range(half, 2 * half, 4)]


def _of_recorded(
    setting: Setting, inputs: Sequence[Any], given: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Gradients of vectors, species' features and weights, to be differentiated further."""
    with torch.enable_grad():
        vectors, x, *weights = inputs
        of_layers = [LayerWeights(*weights[i : i + 4]) for i in range(0, len(weights), 4)]
        return differentiated(recorded(setting, vectors, x, of_layers), inputs, given)
