"""Energies of structures from the invariants of their atoms, with the gradient by these."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear

from molnet.kernels.compiler import kernels_for


def reads_out(scalars: Tensor) -> bool:
    """Whether there is a kernel for these scalars here."""
    return kernels_for(scalars) is not None


def read_out(
    scalars: Tensor,
    first: Linear,
    last: Linear,
    scale: float,
    constants: Tensor,
    structures: Tensor,
    num_structures: int,
) -> tuple[Tensor, Tensor]:
    """Sums over atoms of ``scale * last(silu(first(s))) + constant``, and their gradient by s.

    Nothing is recorded for autograd.

    Args:
        scalars: s, ``[N, C]``.
        first: from C numbers to hidden ones.
        last: to one number.
        scale: of what is learned.
        constants: ``[N]`` in float64.
        structures: which one an atom belongs to, ``[N]`` integers.
        num_structures: G.

    Returns:
        Sums in float64, ``[G]``, and the gradient of their total, ``[N, C]``.
    """
    kernels: Any = kernels_for(scalars)
    totals = constants.new_empty(num_structures)
    gradient = torch.empty_like(scalars)
    held = [
        tensor.contiguous()
        for tensor in (first.weight, first.bias, last.weight, last.bias, scalars, constants)
    ]
    held.append(structures.long().contiguous())
    struct = _Readout(
        *scalars.shape,
        first.out_features,
        num_structures,
        torch.get_num_threads(),
        scale,
        *(tensor.data_ptr() for tensor in held),
    )
    results = (ctypes.c_void_p(tensor.data_ptr()) for tensor in (totals, gradient))
    kernels.readout(ctypes.byref(struct), *results)
    return totals, gradient


class _Readout(ctypes.Structure):
    """``Readout`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "inputs", "hidden", "structures")),
        ("threads", ctypes.c_int64),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("W", "b", "v", "c", "s", "constants", "structure")),
    )
