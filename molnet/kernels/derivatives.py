"""Functions that kernels evaluate, as autograd differentiates them any number of times.

Training on forces differentiates such a function, y = f(x, W), twice: by x, and the result by
everything. With gradients g of y:

==================  =======================================  ============================
function            computes                                 its backward pass uses
==================  =======================================  ============================
:class:`_Value`     y                                        kernels, or :class:`_Gradient`
:class:`_Gradient`  v = ∂(g·y)/∂x                            :class:`_Tangent`
:class:`_Tangent`   the derivatives of v·t by x, W and g     PyTorch, differentiated
==================  =======================================  ============================

What goes further, and what starts from a derivative by weights, is left to PyTorch.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from molnet.kernels.engine import Function, as_inputs, differentiated, wanted_gradients

Tensors = Sequence[Tensor]


class ByKernels(Protocol):
    """A function of x and weights; nothing but the reference is recorded by autograd."""

    def evaluate(self, inputs: Tensors) -> tuple[tuple[Tensor, ...], Tensors]:
        """The outputs of x and weights, and what is kept for their derivatives."""

    def gradients(
        self, inputs: Tensors, kept: Tensors, g: Tensors, to_x: bool, trains: bool
    ) -> Sequence[Tensor | None]:
        """From the gradients of the outputs those of x and, where it trains, of the weights."""

    def along(
        self, inputs: Tensors, kept: Tensors, g: Tensors, t: Tensor, to_x: bool
    ) -> Sequence[Tensor | None]:
        """The derivatives of v·t by x (where wanted), the weights, and g: tangents of outputs."""

    def reference(self, *inputs: Tensor) -> Tensors:
        """The outputs in plain PyTorch."""


def recorded(of: ByKernels, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a function, differentiable any number of times."""
    # Leaves are passed as views: see molnet.kernels.engine.
    views = (w.view_as(w) if w.is_leaf and w.requires_grad else w for w in weights)
    return _Value.apply(of, x, *views)


class _Value(Function):
    @staticmethod
    def forward(ctx: Any, of: ByKernels, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs, kept = of.evaluate(inputs)
        ctx.given = of, (len(inputs), len(kept))
        ctx.save_for_backward(*inputs, *kept)
        return outputs

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> tuple[Tensor | None, ...]:
        of, counts = ctx.given
        inputs, kept, _ = _parts(ctx.saved_tensors, counts)
        wanted = wanted_gradients(ctx)
        to_x, trains = next(wanted), any(wanted)
        if _by_pytorch(g) or (trains and torch.is_grad_enabled()):
            with torch.enable_grad():
                by = as_inputs(inputs)
                return None, *differentiated(of.reference(*by), by, g)
        if not torch.is_grad_enabled():
            return None, *of.gradients(inputs, kept, g, to_x, trains)
        v = _Gradient.apply(of, counts, *ctx.saved_tensors, *g)
        return None, v, *[None] * (len(inputs) - 1)


class _Gradient(Function):
    @staticmethod
    def forward(ctx: Any, of: ByKernels, counts: tuple[int, int], *tensors: Tensor) -> Tensor:
        ctx.given = of, counts
        ctx.save_for_backward(*tensors)
        v, *_ = of.gradients(*_parts(tensors, counts), True, False)
        return v  # type: ignore[return-value]  # as it was asked for

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        (of, (count, num_kept)), tensors = ctx.given, ctx.saved_tensors
        if _by_pytorch((t,)):
            inputs, _, g = _parts(tensors, ctx.given[1])
            with torch.enable_grad():
                variables = as_inputs([*inputs, *g])
                inputs, g = variables[:count], variables[count:]
                v = torch.autograd.grad(of.reference(*inputs), inputs[:1], g, create_graph=True)
                found = differentiated(v, variables, (t,))
            return None, None, *found[:count], *[None] * num_kept, *found[count:]
        by = _Tangent.apply(*ctx.given, next(wanted_gradients(ctx)), *tensors, t)
        return None, None, *by[:count], *[None] * num_kept, *by[count:]


class _Tangent(Function):
    @staticmethod
    def forward(
        ctx: Any, of: ByKernels, counts: tuple[int, int], to_x: bool, *tensors: Tensor
    ) -> tuple[Tensor | None, ...]:
        ctx.given = of, counts
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        *others, t = tensors
        return tuple(of.along(*_parts(others, counts), t, to_x))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        of, counts = ctx.given
        inputs, kept, rest = _parts(ctx.saved_tensors, counts)
        with torch.enable_grad():
            inputs, (*g, t) = as_inputs(inputs), as_inputs(rest)
            (v,) = torch.autograd.grad(of.reference(*inputs), inputs[:1], g, create_graph=True)
            by = [*inputs, *g]
            results = torch.autograd.grad(v, by, t, create_graph=True, allow_unused=True)
            tensors = [*inputs, *[None] * len(kept), *g, t]
            return *[None] * 3, *differentiated(results, tensors, cotangents)


def _by_pytorch(tensors: Tensors) -> bool:
    """Whether a transform is at work whose tensors have no memory that kernels could read."""
    return torch._C._are_functorch_transforms_active() or any(
        torch._C._functorch.is_legacy_batchedtensor(tensor)  # of torch.autograd's vectorize=True
        for tensor in tensors
    )


def _parts(tensors: Sequence[Any], counts: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Inputs, what was kept, and the rest."""
    first, second = counts[0], sum(counts)
    return tensors[:first], tensors[first:second], tensors[second:]
