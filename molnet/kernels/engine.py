"""What functions of our own need of PyTorch's engine of differentiation."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def quickly_bound(forward: F) -> F:
    """Decorator of a ``forward``: its signature is looked up once, not at every call.

    ``torch.autograd.Function.apply`` asks for it each time, which takes longer than a small kernel.
    """
    forward.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    return forward


def wanted_gradients(ctx: Any) -> list[bool]:
    """For each tensor that a function took, whether this backward pass needs its gradient.

    ``ctx.needs_input_grad`` says which inputs require gradients at all: while forces are computed,
    weights do too, though nobody asked for their gradients. The engine knows better, as it is about
    to run only what leads to the tensors asked for. It does not tell for leaves, so a weight that
    is a parameter has to be passed as a view of it.

    Args:
        ctx: of the function whose backward pass runs.
    """
    return [node is not None and _runs(node) for node, _ in ctx.next_functions]


def _runs(node: Any) -> bool:
    is_leaf = node.name().endswith("AccumulateGrad")
    # What torch.autograd.graph.register_multi_grad_hook asks, too.
    return is_leaf or torch._C._will_engine_execute_node(node)
