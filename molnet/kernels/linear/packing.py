"""Weights of linear maps in the order in which the kernels of map and transpose read them."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from molnet.kernels.linear.blocks import BlockwiseMap


def pack(
    kernels: Any, maps: Sequence[tuple[BlockwiseMap, Tensor]]
) -> tuple["ctypes.Array[LinearStruct]", Tensor]:
    """Pack the weights of several maps, in one go.

    Args:
        kernels: for tensors like the weights.
        maps: at least one, each with its flat weights, ``[numel]`` or ``[groups, numel]``,
            contiguous; maps and weights have to stay.

    Returns:
        ``Linear`` of the C++ source for each map, and the packed weights, which have to stay too.
    """
    given = (_WeightedStruct * len(maps))(*(_WeightedStruct.of(*each) for each in maps))
    packed = (LinearStruct * len(maps))()
    run = kernels.pack_maps
    run.restype = ctypes.c_int64
    run.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 2]
    threads = torch.get_num_threads()
    size = run(len(maps), given, threads, None, None)
    memory = maps[0][1].new_empty(max(size, 1))  # an empty tensor has no address
    run(len(maps), given, threads, memory.data_ptr(), packed)
    return packed, memory


class LinearStruct(ctypes.Structure):
    """``Linear`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("map", "transposed")),
        *((name, ctypes.c_void_p) for name in ("panels", "panels_of_transposed")),
        ("weight_numel", ctypes.c_int64),
    )


class _WeightedStruct(ctypes.Structure):
    """``Weighted`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("map", "transposed", "weight")),
        *((name, ctypes.c_int64) for name in ("groups", "weight_numel")),
    )

    @classmethod
    def of(cls, linear: BlockwiseMap, weight: Tensor) -> "_WeightedStruct":
        groups = weight.shape[0] if weight.dim() == 2 else 1
        return cls(
            linear.address, linear.transposed.address, weight.data_ptr(), groups, weight.shape[-1]
        )
