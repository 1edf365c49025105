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
gates: these steps are an output of :class:`Propagation`, so that one pass backwards then serves
energies and forces together. What goes further (second derivatives by r, third ones by anything)
is left to autograd, which differentiates :func:`molnet.models.layers.recorded`.

A pass backwards through :class:`Propagation` is therefore one of three: nothing is recorded, and a
pass of kernels does it; gradients of the vectors alone are recorded, as forces are in training, by
:class:`_Gradient`; or gradients of weights are recorded, by autograd. In the last two nothing comes
in by the steps, since :class:`_Gradient` gives gradients of these only where nothing is recorded.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from molnet.kernels import Keeps, Kept, LayerWeights
from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients
from molnet.models.layers import Setting, recorded


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
    flat = [w.view_as(w) if w is not None and w.requires_grad else w for w in _flat(weights)]
    scalars, features, *_ = Propagation.apply(vectors, x, setting, *flat)
    return scalars, features


def evaluate(
    setting: Setting, vectors: Tensor, x: Tensor, keeps: Keeps = "steps"
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """The same as :func:`propagate`, with nothing recorded by autograd.

    Args:
        setting, vectors, x: as above.
        keeps: "nothing" where gradients are of no use.

    Returns:
        Invariants, features of the last layer, and a function from gradients of the invariants to
        those of the vectors; not to be called where nothing was kept.
    """
    graph, layers = setting.graph, setting.layers
    scalars, features, kept = layers.forwards(graph, vectors, x, keeps)

    def pull_back(of_scalars: Tensor) -> Tensor:
        of_vectors, *_ = layers.backwards(graph, vectors, kept, of_scalars)
        return cast(Tensor, of_vectors)

    return scalars, features, pull_back


class Propagation(Function):
    """Invariants, features, and where weights are trained the steps of all layers."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, x: Tensor, setting: Setting, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        trains = any(ctx.needs_input_grad[1:])
        keeps: Keeps = "rest" if trains else "steps" if ctx.needs_input_grad[0] else "nothing"
        scalars, features, kept = setting.layers.forwards(setting.graph, vectors, x, keeps)
        ctx.setting = setting
        ctx.save_for_backward(vectors, *weights, *kept)
        ctx.set_materialize_grads(False)
        return (scalars, features, cast(Tensor, kept.steps)) if trains else (scalars, features)

    @staticmethod
    def backward(
        ctx: Any,
        of_scalars: Tensor | None,
        of_features: Tensor | None,
        of_steps: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        setting, (vectors, *tensors) = ctx.setting, ctx.saved_tensors
        weights, kept = _saved(tensors)
        wanted = wanted_gradients(ctx)
        to_vectors, trains = next(wanted), any(wanted)
        given = of_scalars, of_features
        if not torch.is_grad_enabled():
            of_vectors, of_x, of_weights = setting.layers.backwards(
                setting.graph,
                vectors,
                kept,
                *given,
                of_steps,
                to_vectors=to_vectors,
                trains=trains,
            )
            return of_vectors, of_x, None, *(_flat(of_weights) or [None] * len(weights))
        if trains:
            inputs = as_inputs([vectors, kept.x, *weights])
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
        _, kept = _saved(tensors)
        adjoints = setting.layers.new_adjoints(kept.x)
        of_vectors, *_ = setting.layers.backwards(
            setting.graph, vectors, kept, of_scalars, of_features, adjoints=adjoints
        )
        ctx.setting = setting
        ctx.save_for_backward(vectors, of_scalars, of_features, adjoints, *tensors)
        return cast(Tensor, of_vectors)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        setting = ctx.setting
        vectors, of_scalars, of_features, adjoints, *tensors = ctx.saved_tensors
        weights, kept = _saved(tensors)
        wanted = wanted_gradients(ctx)
        to_vectors = next(wanted)
        if not torch.is_grad_enabled() and not to_vectors:
            *changes, of_steps, of_weights = setting.layers.along(
                setting.graph, vectors, kept, adjoints, t
            )
            of_given = (
                None if g is None else change
                for g, change in zip((of_scalars, of_features), changes, strict=True)
            )
            return None, *of_given, None, *_flat(of_weights), *_of_kept(steps=of_steps)

        learned = [kept.x, *weights]
        # What stays constant costs nothing: Hessians are rows of this.
        tensors = of_scalars, of_features, *weights, *kept
        (_, _, *to_weights), to_kept = _saved([t is not None and next(wanted) for t in tensors])
        if torch.is_grad_enabled() or any(to_weights) or to_kept.x:
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
        return of_r, of_scalars, of_features, None, *of_weights, *_of_kept(x=of_x)


def _saved(tensors: Sequence[Any]) -> tuple[Sequence[Tensor | None], Kept]:
    """What both functions save: weights, and what the pass forwards kept."""
    kept = len(Kept._fields)
    return tensors[:-kept], Kept(*tensors[-kept:])


def _of_kept(x: Tensor | None = None, steps: Tensor | None = None) -> tuple[Tensor | None, ...]:
    """Gradients of what was kept, in the order of :class:`Kept`."""
    return None, None, None, x, steps, None


def _flat(of_layers: Iterable[LayerWeights]) -> list[Tensor | None]:
    return [weight for of_layer in of_layers for weight in of_layer]


def _of_recorded(
    setting: Setting,
    inputs: Sequence[Any],
    given: Sequence[Tensor | None],
    by: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """Gradients by some of vectors, species' features and weights, to be differentiated further."""
    with torch.enable_grad():
        vectors, x, *weights = inputs
        size = len(LayerWeights._fields)
        of_layers = (LayerWeights(*weights[i : i + size]) for i in range(0, len(weights), size))
        outputs = recorded(setting, vectors, x, of_layers)
        return differentiated(outputs, by, given)
