"""Modules for inference: the weights as they are now, as constants."""

from collections.abc import Sequence
from operator import attrgetter
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
_version_of = attrgetter("_version")


def frozen(module: M) -> M:
    """A copy for evaluation with weights of its own that need no gradients.

    Nothing is recorded for the weights when such a copy is evaluated, and what follows from them
    alone is computed once and kept. The copy is in evaluation mode; the original stays as it is,
    and what is written into it later the copy does not see.
    """
    with torch.inference_mode(False):
        return _frozen(module)


def _frozen(module: M) -> M:
    copy = object.__new__(type(module))
    copy.__dict__ = module.__getstate__() | {
        "training": False,
        "is_frozen": True,
        "_parameters": {
            name: None if weight is None else nn.Parameter(weight.detach().clone(), False)
            for name, weight in module._parameters.items()
        },
        "_buffers": dict(module._buffers),
        "_modules": {
            name: None if child is None else _frozen(child)
            for name, child in module._modules.items()
        },
    }
    return copy


def is_frozen(module: nn.Module) -> bool:
    """Whether a module is such a copy."""
    return module.__dict__.get("is_frozen", False)


def state_of(weights: Sequence[Tensor]) -> tuple[list[int], list[int]]:
    """Changes when weights are written in place or move; not when ``.data`` is written."""
    # By map, as this is asked before every evaluation.
    addresses = list(map(Tensor.data_ptr, weights))
    if any(map(Tensor.is_inference, weights)):
        return addresses, [0 if weight.is_inference() else weight._version for weight in weights]
    return addresses, list(map(_version_of, weights))
