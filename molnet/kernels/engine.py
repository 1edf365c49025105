"""What functions of our own need of PyTorch's engine of differentiation."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


class Function(torch.autograd.Function):
    """A function whose ``apply`` takes all its arguments by position, and no time.

    PyTorch's own looks up the signature of ``forward`` and binds the arguments at every call, which
    takes longer than a small kernel. It still serves the transforms of `torch.func`.
    """

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Evaluate the function, and record it."""
        if torch._C._are_functorch_transforms_active():
            return super().apply(*arguments)
        return super(torch.autograd.Function, cls).apply(*arguments)  # type: ignore[misc]


class _Source(Function):
    """The identity, for a tensor that nothing lies behind."""

    closed = False

    @staticmethod
    def forward(tensor: Tensor, anchor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        return None, None


def as_source(tensor: Tensor) -> Tensor:
    """The same tensor as a variable to differentiate by, until :func:`close` is called on it.

    ``tensor.requires_grad_()`` makes a leaf, and ``loss.backward()`` then computes the gradients of
    all leaves, also of those that served for forces and are not asked for again.
    """
    return _Source.apply(tensor.detach(), torch.empty(0, requires_grad=True))


def close(source: Tensor) -> None:
    """End the differentiation by a source: from now on its gradient is wanted no more."""
    source.grad_fn.closed = True  # type: ignore[union-attr]


def wanted_gradients(ctx: Any) -> Iterator[bool]:
    """For each tensor that a function took, whether this backward pass needs its gradient.

    One after another, as each is looked up: who asks for no more than the first pays for no more.

    ``ctx.needs_input_grad`` says which inputs require gradients at all: while forces are computed,
    weights do too, though nobody asked for their gradients. The engine knows better, as it is about
    to run only what leads to the tensors asked for. It does not tell for leaves, so a weight that
    is a parameter has to be passed as a view of it.

    Args:
        ctx: of the function whose backward pass runs.
    """
    return (node is not None and _runs(node) for node, _ in ctx.next_functions)


def _runs(node: Any) -> bool:
    if node.name().endswith("AccumulateGrad"):
        return True
    if _is_closed(node) or (
        node.next_functions and all(_is_closed(n) for n, _ in node.next_functions)
    ):
        return False
    # What torch.autograd.graph.register_multi_grad_hook asks, too.
    return torch._C._will_engine_execute_node(node)


def _is_closed(node: Any) -> bool:
    """Whether no gradient is wanted behind a node, as far as one can see from it."""
    return node is None or getattr(node, "closed", False)


def as_inputs(saved: Sequence[Tensor | None]) -> list[Any]:
    """The same tensors as inputs of a new function, with their history behind them.

    They are views, since some of them were computed from others: derivatives with respect to one
    must not run through the rest. A closed source (see :func:`close`) is history no more.
    """
    return [
        None
        if tensor is None
        else tensor.view_as(tensor)
        if tensor.requires_grad and not getattr(tensor.grad_fn, "closed", False)
        else tensor.detach().requires_grad_()
        for tensor in saved
    ]


def differentiated(
    outputs: Sequence[Tensor | None], inputs: Sequence[Any], cotangents: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Gradients of all inputs that are not None, to be differentiated further.

    Outputs that are None, and those without a cotangent, do not count.
    """
    given_pairs = zip(outputs, cotangents, strict=True)
    pairs = [(o, c) for o, c in given_pairs if o is not None and c is not None]
    given = [tensor for tensor in inputs if tensor is not None]
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            given,
            [cotangent for _, cotangent in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return tuple(None if tensor is None else next(found) for tensor in inputs)
