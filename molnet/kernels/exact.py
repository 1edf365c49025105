"""A constant that is exact in every precision."""

import torch
from torch import Tensor


class Exact:
    """A constant tensor, as features of any type on any device need it.

    Args:
        value: in float64, or integers, which keep their type.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._converted: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def like(self, tensor: Tensor) -> Tensor:
        """The constant in the type of a tensor, on its device."""
        dtype = tensor.dtype if self.value.is_floating_point() else self.value.dtype
        kind = dtype, tensor.device
        if kind not in self._converted:
            with torch.inference_mode(False):  # training needs it later
                self._converted[kind] = self.value.to(tensor.device, dtype, copy=True)
        return self._converted[kind]
