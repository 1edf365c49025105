"""Linear maps with weights that are used more than once."""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from molnet.kernels.blocks import BlockwiseMap, Rows, call
from molnet.kernels.compiler import kernels_for


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A map with constant weights, in the order in which kernels of map and transpose read them."""

    linear: BlockwiseMap
    shape: torch.Size
    panels: Tensor
    panels_of_transposed: Tensor

    @classmethod
    def of(cls, linear: BlockwiseMap, weight: Tensor) -> "PackedMap":
        """The map with these flat weights.

        Raises:
            RuntimeError: where there are no kernels for it.
        """
        kernels = kernels_for(weight)
        if kernels is None:
            raise RuntimeError("weights were packed on a machine without kernels")
        both = (_panels(each, kernels, weight) for each in (linear, linear.transposed))
        return cls(linear, weight.shape, *both)

    @property
    def struct(self) -> "LinearStruct":
        """``Linear`` of the C++ source; the map has to stay."""
        return LinearStruct(
            self.linear.address,
            self.linear.transposed.address,
            self.panels.data_ptr(),
            self.panels_of_transposed.data_ptr(),
            self.shape[-1],
        )


class LinearStruct(ctypes.Structure):
    """``Linear`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("map", "transposed")),
        *((name, ctypes.c_void_p) for name in ("panels", "panels_of_transposed")),
        ("weight_numel", ctypes.c_int64),
    )


def _panels(linear: BlockwiseMap, kernels: ctypes.CDLL, weight: Tensor) -> Tensor:
    weight = weight.detach().contiguous()
    groups = weight.shape[0] if weight.dim() == 2 else 1
    kernels.blockwise_panels_size.restype = ctypes.c_int64
    size = kernels.blockwise_panels_size(ctypes.c_void_p(linear.address))
    panels = weight.new_empty(groups * size)
    rows = Rows(0, groups, None, None, torch.get_num_threads(), False)
    call(kernels.blockwise_pack, linear, rows, weight.shape[-1], weight, panels)
    return panels
