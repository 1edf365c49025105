"""One step by itself, where modules run one by one."""

import ctypes
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from molnet.kernels.bound import BoundSteps
from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.derivatives import Tensors, recorded
from molnet.kernels.graph_orders import GraphStruct
from molnet.kernels.linear.blocks import RowGroups
from molnet.kernels.program import OfNodes, Step


def apply_step(
    primitive: OfNodes,
    x: Tensor,
    weight: Tensor | None = None,
    species: RowGroups | None = None,
) -> Tensor:
    """What a primitive does to features, differentiable any number of times.

    Args:
        primitive: one that uses no edges.
        x: ``[..., dim_in]``; ``[N, dim_in]`` where there are species.
        weight: what it learns.
        species: the nodes of each, where it has weights of their own.

    Returns:
        ``[..., dim_out]``.
    """
    weights = () if weight is None else (weight,)
    if not kernels_serve(x) or any(w.dtype != x.dtype for w in weights):
        return primitive.in_pytorch(x, weight, species)
    rows = x if x.dim() == 2 else x.flatten(0, -2) if x.dim() > 2 else x.unsqueeze(0)
    step = Step(primitive, 0, 1, False, 0 if weights else None)
    bound = BoundSteps(kernels_for(x), (step,), [weight.contiguous() for weight in weights])
    (y,) = recorded(_Single(primitive, species, bound), rows, *weights)
    return y if x.dim() == 2 else y.view(*x.shape[:-1], primitive.dim_out)


@dataclass(frozen=True, eq=False)
class _Single:
    """See :class:`molnet.kernels.derivatives.ByKernels`."""

    primitive: OfNodes
    species: RowGroups | None
    bound: BoundSteps

    def evaluate(self, inputs: Tensors) -> tuple[tuple[Tensor], Tensors]:
        x = inputs[0]
        y = x.new_empty(len(x), self.primitive.dim_out)
        self._run("forward", x, y)
        return (y,), ()

    def gradients(
        self, inputs: Tensors, kept: Tensors, g: Tensors, to_x: bool, trains: bool
    ) -> list[Tensor | None]:
        x, *weights = inputs
        of_x = x.new_empty(x.shape) if to_x else None
        of_weights = [w.new_empty(w.shape) if trains else None for w in weights]
        self._run("backward", x, *g, of_x, *(of_weights or [None]))
        return [of_x, *of_weights]

    def along(
        self, inputs: Tensors, kept: Tensors, g: Tensors, t: Tensor, to_x: bool
    ) -> list[Tensor | None]:
        x, *weights = inputs
        tangent = x.new_empty(len(x), self.primitive.dim_out)
        of_x = x.new_empty(x.shape) if self.primitive.nonlinear else None
        of_weights: list[Tensor | None] = [w.new_empty(w.shape) for w in weights]
        self._run("along", x, *g, t, tangent, of_x, *(of_weights or [None]))
        return [of_x, *of_weights, tangent]

    def reference(self, *inputs: Tensor) -> tuple[Tensor]:
        x, weight = (*inputs, None)[:2]
        return (self.primitive.in_pytorch(cast(Tensor, x), weight, self.species),)

    def _run(self, name: str, x: Tensor, *arguments: Tensor | None) -> None:
        groups = self.species
        graph = GraphStruct(nodes=len(x), threads=torch.get_num_threads())
        if groups is not None:
            graph.groups = len(groups.starts) - 1
            graph.species, graph.order, graph.group_starts = map(Tensor.data_ptr, groups)
        held = [None if each is None else each.contiguous() for each in (x, *arguments)]
        addresses = (None if each is None else each.data_ptr() for each in held)
        kernel: Any = getattr(self.bound.kernels, f"step_{name}")
        kernel(self.bound.array, ctypes.byref(graph), *map(ctypes.c_void_p, addresses))
