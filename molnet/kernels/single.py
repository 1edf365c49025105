"""One step by itself, where modules run one by one."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from molnet.kernels.bound import BoundSteps
from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.derivatives import recorded
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
    single = _Single(primitive, species)
    if not kernels_serve(x) or any(w.dtype != x.dtype for w in weights):
        return single.reference(x, *weights)[0]
    rows = x if x.dim() == 2 else x.flatten(0, -2) if x.dim() > 2 else x.unsqueeze(0)
    (y,) = recorded(single, rows, *weights)
    return y if x.dim() == 2 else y.view(*x.shape[:-1], primitive.dim_out)


@dataclass(frozen=True, eq=False)
class _Single:
    """See :class:`molnet.kernels.derivatives.ByKernels`."""

    primitive: OfNodes
    species: RowGroups | None

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], BoundSteps]:
        x, *weights = inputs
        step = Step(self.primitive, 0, 1, False, 0 if weights else None)
        bound = BoundSteps(kernels_for(x), (step,), [weight.contiguous() for weight in weights])
        y = x.new_empty(len(x), self.primitive.dim_out)
        self._run("forward", bound, x, y)
        return (y,), bound

    def gradients(
        self,
        kept: BoundSteps,
        inputs: Sequence[Tensor],
        g: Sequence[Tensor],
        to_x: bool,
        trains: bool,
    ) -> list[Tensor | None]:
        x, *weights = inputs
        of_x = x.new_empty(x.shape) if to_x else None
        of_weights = [w.new_empty(w.shape) if trains else None for w in weights]
        self._run("backward", kept, x, *g, of_x, *(of_weights or [None]))
        return [of_x, *of_weights]

    def along(
        self,
        kept: BoundSteps,
        inputs: Sequence[Tensor],
        g: Sequence[Tensor],
        t: Tensor,
        to_x: bool,
    ) -> list[Tensor | None]:
        x, *weights = inputs
        tangent = x.new_empty(len(x), self.primitive.dim_out)
        of_x = x.new_empty(x.shape) if self.primitive.nonlinear else None
        of_weights: list[Tensor | None] = [w.new_empty(w.shape) for w in weights]
        self._run("along", kept, x, *g, t, tangent, of_x, *(of_weights or [None]))
        return [of_x, *of_weights, tangent]

    def reference(self, *inputs: Tensor) -> tuple[Tensor]:
        x, weight = (*inputs, None)[:2]
        return (self.primitive.in_pytorch(cast(Tensor, x), weight, self.species),)

    def _run(self, name: str, bound: BoundSteps, x: Tensor, *arguments: Tensor | None) -> None:
        groups = self.species
        graph = GraphStruct(nodes=len(x), threads=torch.get_num_threads())
        if groups is not None:
            graph.groups = len(groups.starts) - 1
            graph.species, graph.order, graph.group_starts = map(Tensor.data_ptr, groups)
        held = [None if each is None else each.contiguous() for each in (x, *arguments)]
        addresses = (None if each is None else each.data_ptr() for each in held)
        kernel: Any = getattr(bound.kernels, f"step_{name}")
        kernel(bound.array, ctypes.byref(graph), *map(ctypes.c_void_p, addresses))
