"""Constant tensors inside a module that stay exact when the module changes precision."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


class Constants(torch.nn.Module):
    """A list of constant tensors (coupling coefficients, normalisations, indices).

    They follow ``.to(device)`` and ``.to(dtype)`` of the module that holds them, but are converted
    from the float64 originals each time, so that ``module.double()`` has full precision even when
    the module was made in float32. They are no part of the ``state_dict``.

    Args:
        tensors: the constants; floating-point ones in float64.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self._exact = [tensor.detach().clone() for tensor in tensors]
        for i, tensor in enumerate(self._exact):
            dtype = torch.get_default_dtype() if tensor.is_floating_point() else tensor.dtype
            self.register_buffer(str(i), tensor.to(dtype), persistent=False)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(list(self._buffers.values()))  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Tensor:
        return self._buffers[str(index)]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self._exact)

    def _apply(self, fn: Any, recurse: bool = True) -> "Constants":
        super()._apply(fn, recurse)
        for i, exact in enumerate(self._exact):
            if not self[i].is_meta:
                self._buffers[str(i)] = exact.to(self[i])
        return self

    def extra_repr(self) -> str:
        return f"{len(self)} tensors"
