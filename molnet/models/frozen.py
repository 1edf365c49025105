"""Modules for inference: the same weights, as constants."""

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def frozen(module: M) -> M:
    """A copy for evaluation whose weights need no gradients; the original stays as it is.

    Nothing is recorded for the weights when such a copy is evaluated, and no derivative by them
    is computed on the way to forces. The copy is in evaluation mode and shares the memory of the
    weights: what an optimiser or ``load_state_dict`` writes into the original, it sees. Moving
    either of them to another device or dtype parts them.
    """
    copy = object.__new__(type(module))
    copy.__dict__ = module.__dict__ | {
        "training": False,
        "_parameters": {
            name: None if weight is None else nn.Parameter(weight.detach(), requires_grad=False)
            for name, weight in module._parameters.items()
        },
        "_buffers": dict(module._buffers),
        "_modules": {
            name: None if child is None else frozen(child)
            for name, child in module._modules.items()
        },
    }
    return copy
