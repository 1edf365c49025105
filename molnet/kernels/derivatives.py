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

Tensors = Sequence[Tensor | None]


class ByKernels(Protocol):
    """A function of x and weights; nothing but the reference is recorded by autograd."""

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Any]:
        """The outputs of x and weights, and what is kept for their derivatives."""

    def gradients(
        self, kept: Any, inputs: Sequence[Tensor], g: Sequence[Tensor], to_x: bool, trains: bool
    ) -> Tensors:
        """From the gradients of the outputs those of x and, where it trains, of the weights."""

    def along(
        self, kept: Any, inputs: Sequence[Tensor], g: Sequence[Tensor], t: Tensor, to_x: bool
    ) -> Tensors:
        """The derivatives of v·t by x (where wanted), the weights, and g: tangents of outputs."""

    def reference(self, *inputs: Tensor) -> Sequence[Tensor]:
        """The outputs in plain PyTorch."""


def recorded(of: ByKernels, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a function, differentiable any number of times."""
    # Leaves are passed as views: see molnet.kernels.engine.
    views = (w.view_as(w) if w.is_leaf and w.requires_grad else w for w in weights)
    return _Value.apply(of, x, *views)


class _Value(Function):
    @staticmethod
    def forward(ctx: Any, of: ByKernels, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs, ctx.kept = of.evaluate(inputs)
        ctx.of = of
        ctx.save_for_backward(*inputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> tuple[Tensor | None, ...]:
        of, inputs, wanted = ctx.of, ctx.saved_tensors, wanted_gradients(ctx)
        to_x, trains = next(wanted), any(wanted)
        if torch._C._are_functorch_transforms_active() or (trains and torch.is_grad_enabled()):
            with torch.enable_grad():
                by = as_inputs(inputs)
                return None, *differentiated(of.reference(*by), by, g)
        if not torch.is_grad_enabled():
            return None, *of.gradients(ctx.kept, inputs, g, to_x, trains)
        v = _Gradient.apply(of, ctx.kept, len(inputs), *inputs, *g)
        return None, v, *[None] * (len(inputs) - 1)


class _Gradient(Function):
    @staticmethod
    def forward(ctx: Any, of: ByKernels, kept: Any, count: int, *tensors: Tensor) -> Tensor:
        ctx.given = of, kept, count
        ctx.save_for_backward(*tensors)
        v, *_ = of.gradients(kept, tensors[:count], tensors[count:], True, False)
        return v  # type: ignore[return-value]  # as it was asked for

    @staticmethod
    def backward(ctx: Any, t: Tensor) -> tuple[Tensor | None, ...]:
        to_x = next(wanted_gradients(ctx))
        return None, None, None, *_Tangent.apply(*ctx.given, to_x, *ctx.saved_tensors, t)


class _Tangent(Function):
    @staticmethod
    def forward(
        ctx: Any, of: ByKernels, kept: Any, count: int, to_x: bool, *tensors: Tensor
    ) -> Tensors:
        ctx.of, ctx.count = of, count
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        *others, t = tensors
        return tuple(of.along(kept, others[:count], others[count:], t, to_x))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            *others, t = tensors = as_inputs(ctx.saved_tensors)
            inputs, g = others[: ctx.count], others[ctx.count :]
            (v,) = torch.autograd.grad(ctx.of.reference(*inputs), inputs[:1], g, create_graph=True)
            results = torch.autograd.grad(v, others, t, create_graph=True, allow_unused=True)
            return *[None] * 4, *differentiated(results, tensors, cotangents)
