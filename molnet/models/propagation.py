"""The network with its first two derivatives as calls of kernels.

Training on forces differentiates the network twice: by edge vectors, and the result by weights.
Autograd records some hundred small functions for that, and with few molecules keeping its records
takes longer than the arithmetic. Here it sees two:

====================  ==================================================  ======================
function              computes                                            its backward pass uses
====================  ==================================================  ======================
:class:`Propagation`  invariants s and features x of edge vectors r       :class:`_Gradient`
:class:`_Gradient`    v = ∂(g·(s, x))/∂r                                  the tangent along t
====================  ==================================================  ======================

The derivative of v·t by g and by the weights follows the tangents of all values along t, forwards
through the program. This pass also finds the derivatives by the values from which nonlinear steps
start. These values are an output of :class:`Propagation`, so that one pass backwards then serves
energies and forces together. What goes further (second derivatives by r, third ones by anything)
is left to autograd, which differentiates :meth:`molnet.kernels.Program.recorded`.

A pass backwards through :class:`Propagation` is therefore one of three. Nothing is recorded: a pass
of kernels does it. Gradients of the vectors alone are recorded, as forces are in training: by
:class:`_Gradient`. Gradients of weights are recorded: by autograd. In the last two nothing comes in
by the kept steps, since :class:`_Gradient` gives gradients of them only where nothing is recorded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from molnet.kernels import BoundProgram, Edges, GraphOrders, Keeps, Kept, RowGroups, Surroundings
from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients


@dataclass(frozen=True, eq=False)
class GraphProgram:
    """A program on a graph: all but the tensors to differentiate by.

    Args:
        bound: the program with weights.
        species: indices ``[N]``.
        num_species: how many there are.
        senders, receivers: ``[E]``, receivers ascending.
    """

    bound: BoundProgram
    species: Tensor
    num_species: int
    senders: Tensor
    receivers: Tensor

    @cached_property
    def graph(self) -> GraphOrders:
        """The graph for the passes."""
        return self.bound.orders(self.species, self.num_species, self.senders, self.receivers)

    def recorded(
        self, vectors: Tensor, x: Tensor, weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The same as :func:`propagate`, recorded function by function."""
        harmonics, basis, rows = self.bound.edge_basis(vectors)
        species = RowGroups.of(self.species, self.num_species)
        edges = Edges.of(self.senders, self.receivers, len(self.species))
        around = Surroundings(species, edges, harmonics, basis, rows)
        return self.bound.program.recorded(x, weights, around)


def propagate(
    program: GraphProgram, vectors: Tensor, x: Tensor, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Invariants of all layers side by side, ``[N, T * C]``, and the features of the last.

    Args:
        program: with the graph.
        vectors: ``[E, 3]``.
        x: features of the species, ``[N, C]``.
        weights: those of ``program``, as constants or to be differentiated by.
    """
    # Leaves are passed as views: see molnet.kernels.engine.
    views = [weight.view_as(weight) if weight.requires_grad else weight for weight in weights]
    invariants, features, *_ = Propagation.apply(vectors, x, program, *views)
    return invariants, features


def evaluate(
    program: GraphProgram, vectors: Tensor, x: Tensor, keeps: Keeps = "steps"
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """The same as :func:`propagate`, with nothing recorded by autograd.

    Args:
        program, vectors, x: as above.
        keeps: "nothing" where gradients are of no use.

    Returns:
        Invariants, features of the last layer, and a function from gradients of the invariants to
        those of the vectors; not to be called where nothing was kept.
    """
    graph, bound = program.graph, program.bound
    invariants, features, kept = bound.forwards(graph, vectors, x, keeps)

    def pull_back(of_invariants: Tensor) -> Tensor:
        of_vectors, *_ = bound.backwards(graph, vectors, kept, of_invariants)
        return cast(Tensor, of_vectors)

    return invariants, features, pull_back


class Propagation(Function):
    """Invariants, features, and where weights are trained the steps of all layers."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, x: Tensor, program: GraphProgram, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        trains = any(ctx.needs_input_grad[1:])
        keeps: Keeps = "rest" if trains else "steps" if ctx.needs_input_grad[0] else "nothing"
        invariants, features, kept = program.bound.forwards(program.graph, vectors, x, keeps)
        ctx.program = program
        ctx.save_for_backward(vectors, *weights, *kept)
        ctx.set_materialize_grads(False)
        return (
            (invariants, features, cast(Tensor, kept.steps)) if trains else (invariants, features)
        )

    @staticmethod
    def backward(
        ctx: Any,
        of_invariants: Tensor | None,
        of_features: Tensor | None,
        of_steps: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        program, (vectors, *tensors) = ctx.program, ctx.saved_tensors
        weights, kept = _saved(tensors)
        wanted = wanted_gradients(ctx)
        to_vectors, trains = next(wanted), any(wanted)
        given = of_invariants, of_features
        if not torch.is_grad_enabled():
            of_vectors, of_x, of_weights = program.bound.backwards(
                program.graph,
                vectors,
                kept,
                *given,
                of_steps,
                to_vectors=to_vectors,
                trains=trains,
            )
            return of_vectors, of_x, None, *(of_weights or [None] * len(weights))
        if trains:
            inputs = as_inputs([vectors, kept.x, *weights])
            of_vectors, of_x, *of_weights = _of_recorded(program, inputs, given, by=inputs)
            return of_vectors, of_x, None, *of_weights
        of_vectors = _Gradient.apply(vectors, *given, program, *tensors)
        return of_vectors, *[None] * (2 + len(weights))


class _Gradient(Function):
    """The gradient of vectors from those of invariants and features."""

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        of_invariants: Tensor | None,
        of_features: Tensor | None,
        program: GraphProgram,
        *tensors: Tensor | None,
    ) -> Tensor:
        _, kept = _saved(tensors)
        adjoints = program.bound.new_adjoints(kept.x)
        of_vectors, *_ = program.bound.backwards(
            program.graph, vectors, kept, of_invariants, of_features, adjoints=adjoints
        )
        ctx.program = program
        ctx.save_for_backward(vectors, of_invariants, of_features, adjoints, *tensors)
        return cast(Tensor, of_vectors)

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        program = ctx.program
        vectors, of_invariants, of_features, adjoints, *tensors = ctx.saved_tensors
        weights, kept = _saved(tensors)
        wanted = wanted_gradients(ctx)
        to_vectors = next(wanted)
        if not torch.is_grad_enabled() and not to_vectors:
            *changes, of_steps, of_weights = program.bound.along(
                program.graph, vectors, kept, adjoints, t
            )
            of_given = (
                None if g is None else change
                for g, change in zip((of_invariants, of_features), changes, strict=True)
            )
            return None, *of_given, None, *of_weights, *_of_kept(steps=of_steps)

        learned = [kept.x, *weights]
        # What stays constant costs nothing: Hessians are rows of this.
        tensors = of_invariants, of_features, *weights, *kept
        (_, _, *to_weights), to_kept = _saved([t is not None and next(wanted) for t in tensors])
        if torch.is_grad_enabled() or any(to_weights) or to_kept.x:
            learned = as_inputs(learned)
        else:
            learned = [None if w is None else w.detach() for w in learned]
        with torch.enable_grad():
            r, *given = as_inputs([vectors, of_invariants, of_features])
            (v,) = _of_recorded(program, [r, *learned], given, by=[r])
            by = [r, *given, *(w if w is not None and w.requires_grad else None for w in learned)]
            of_r, of_invariants, of_features, of_x, *of_weights = differentiated(
                [cast(Tensor, v)], by, [t]
            )
        return of_r, of_invariants, of_features, None, *of_weights, *_of_kept(x=of_x)


def _saved(tensors: Sequence[Any]) -> tuple[Sequence[Tensor | None], Kept]:
    """What both functions save: weights, and what the pass forwards kept."""
    kept = len(Kept._fields)
    return tensors[:-kept], Kept(*tensors[-kept:])


def _of_kept(x: Tensor | None = None, steps: Tensor | None = None) -> tuple[Tensor | None, ...]:
    """Gradients of what was kept, in the order of :class:`Kept`."""
    return None, None, None, x, steps, None


def _of_recorded(
    program: GraphProgram,
    inputs: Sequence[Any],
    given: Sequence[Tensor | None],
    by: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """Gradients by some of vectors, species' features and weights, to be differentiated further."""
    with torch.enable_grad():
        vectors, x, *weights = inputs
        outputs = program.recorded(vectors, x, weights)
        return differentiated(outputs, by, given)
