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
autograd, which differentiates :func:`molnet.models.layers.recorded`.

A pass backwards through :class:`Propagation` is therefore one of three: nothing is recorded, and
:func:`~molnet.models.passes.backwards` does it; gradients of the vectors alone are recorded, as
forces are in training, by :class:`_Gradient`; or gradients of weights are recorded, by autograd. In
the last two nothing comes in by the features sent and gated, since :class:`_Gradient` gives
gradients of these only where nothing is recorded.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients
from molnet.models.layers import EdgeFunctions, LayerWeights, Setting, recorded
from molnet.models.passes import Adjoint, Keeps, State, along, backwards, forwards

Layered = TypeVar("Layered", LayerWeights, State, Adjoint)


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
        those of the vectors; not to be called where nothing was kept.
    """
    of_edges = EdgeFunctions(*setting.edge_basis.evaluate(vectors))
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
        of_edges = EdgeFunctions(*setting.edge_basis.evaluate(vectors))
        keeps: Keeps = "messages" if trains else "states" if ctx.needs_input_grad[0] else "nothing"
        scalars, features, states = forwards(setting, of_edges, x, keeps)
        ctx.setting = setting
        ctx.save_for_backward(vectors, *of_edges, *weights, *_flat(states))
        ctx.set_materialize_grads(False)
        outputs = [tensor for state in states for tensor in (state.sent, state.update)]
        return scalars, features, *(outputs if trains else [])

    @staticmethod
    def backward(
        ctx: Any, of_scalars: Tensor | None, of_features: Tensor | None, *of_states: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        setting, (vectors, *tensors) = ctx.setting, ctx.saved_tensors
        of_edges, weights, states = _kept(setting, tensors)
        to_vectors, *to_weights = wanted_gradients(ctx)
        given = of_scalars, of_features
        if not torch.is_grad_enabled():
            of_vectors, of_x, of_weights = backwards(
                setting,
                of_edges,
                states,
                given,
                sources=of_states,
                vectors=vectors if to_vectors else None,
                trains=any(to_weights),
            )
            return of_vectors, of_x, None, *of_weights
        if any(to_weights):
            inputs = as_inputs([vectors, states[0].x, *weights])
            of_vectors, of_x, *of_weights = _of_recorded(setting, inputs, given, by=inputs)
            return of_vectors, of_x, None, *of_weights
        of_vectors = _Gradient.apply(vectors, *given, setting, *tensors)
        return of_vectors, *[None] * (2 + len(weights))


class _Gradient(Function):
    """The gradient of vectors from those of invariants and features."""

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        of_scalars: Tensor | None,
        of_features: Tensor | None,
        setting: Setting,
        *tensors: Tensor | None,
    ) -> Tensor:
        of_edges, _, states = _kept(setting, tensors)
        given = of_scalars, of_features
        adjoints: list[Adjoint] = []
        of_vectors, *_ = backwards(
            setting, of_edges, states, given, vectors=vectors, adjoints=adjoints
        )
        ctx.setting = setting
        ctx.save_for_backward(vectors, of_scalars, of_features, *tensors, *_flat(adjoints))
        return cast(Tensor, of_vectors)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        setting, (vectors, of_scalars, of_features, *tensors) = ctx.setting, ctx.saved_tensors
        number = len(Adjoint._fields) * len(setting.layers)
        of_edges, weights, states = _kept(setting, tensors[:-number])
        to_vectors, *wanted = wanted_gradients(ctx)
        no_edges = [None] * len(of_edges)
        if not torch.is_grad_enabled() and not to_vectors:
            adjoints = _in_layers(Adjoint, tensors[-number:])
            changes, of_weights, of_states = along(setting, of_edges, states, adjoints, vectors, t)
            of_given = (
                None if g is None else change
                for g, change in zip((of_scalars, of_features), changes, strict=True)
            )
            return None, *of_given, None, *no_edges, *of_weights, *of_states

        learned = [states[0].x, *weights]
        # What stays constant costs nothing: Hessians are rows of this.
        before = sum(g is not None for g in (of_scalars, of_features)) + len(of_edges)
        to_learned = any(wanted[before : before + sum(w is not None for w in learned)])
        if torch.is_grad_enabled() or to_learned:
            learned = as_inputs(learned)
        else:
            learned = [None if w is None else w.detach() for w in learned]
        with torch.enable_grad():
            r, *given = as_inputs([vectors, of_scalars, of_features])
            (v,) = _of_recorded(setting, [r, *learned], given, by=[r])
            by = [r, *given, *(w if w is not None and w.requires_grad else None for w in learned)]
            of_r, of_scalars, of_features, of_x, *of_weights = differentiated(
                [cast(Tensor, v)], by, [t]
            )
        of_states = [of_x, *[None] * (len(State._fields) * len(states) - 1)]
        return of_r, of_scalars, of_features, None, *no_edges, *of_weights, *of_states


def _kept(
    setting: Setting, tensors: Sequence[Any]
) -> tuple[EdgeFunctions, Sequence[Tensor | None], list[State]]:
    """What both functions keep: functions of edges, weights, and the states of all layers."""
    edges = len(EdgeFunctions._fields)
    weights = edges + len(LayerWeights._fields) * len(setting.layers)
    states = _in_layers(State, tensors[weights:])
    return EdgeFunctions(*tensors[:edges]), tensors[edges:weights], states


def _flat(layers: Iterable[Iterable[Tensor | None]]) -> list[Tensor | None]:
    return [tensor for layer in layers for tensor in layer]


def _in_layers(kind: type[Layered], flat: Sequence[Any]) -> list[Layered]:
    """The inverse of :func:`_flat`."""
    size = len(kind._fields)
    return [kind(*flat[i : i + size]) for i in range(0, len(flat), size)]


def _of_recorded(
    setting: Setting,
    inputs: Sequence[Any],
    given: Sequence[Tensor | None],
    by: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """Gradients by some of vectors, species' features and weights, to be differentiated further."""
    with torch.enable_grad():
        vectors, x, *weights = inputs
        outputs = recorded(setting, vectors, x, _in_layers(LayerWeights, weights))
        return differentiated(outputs, by, given)
