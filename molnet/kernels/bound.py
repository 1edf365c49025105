"""Steps with the weights of the moment, as the kernels read them."""

import ctypes
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from molnet.kernels.linear.packing import pack
from molnet.kernels.program import Step


class BoundSteps:
    """``Step`` of the C++ source for each of some steps.

    Args:
        kernels: for tensors like the weights.
        steps: in order.
        weights: of the steps that learn, contiguous.
    """

    def __init__(self, kernels: Any, steps: Sequence[Step], weights: Sequence[Tensor]) -> None:
        self.kernels = kernels
        of_steps = [None if step.weight is None else weights[step.weight] for step in steps]
        maps = [
            (step.primitive.packed, weight)
            for step, weight in zip(steps, of_steps, strict=True)
            if step.primitive.packed is not None and weight is not None
        ]
        packed, panels = pack(kernels, maps) if maps else ((), None)
        in_turn = iter(packed)
        structs = [
            step.primitive.struct(weight) if step.primitive.packed is None else next(in_turn)
            for step, weight in zip(steps, of_steps, strict=True)
        ]
        self.array = (StepStruct * len(steps))(
            *(
                StepStruct(
                    _functions(kernels, step.primitive.symbol, struct),
                    ctypes.addressof(struct),
                    None if weight is None else weight.data_ptr(),
                    step.source,
                    step.target,
                    step.onto,
                    step.primitive.nonlinear,
                    -1 if step.weight is None else step.weight,
                )
                for step, struct, weight in zip(steps, structs, of_steps, strict=True)
            )
        )
        self._held = weights, packed, panels, structs  # structures hold no more than addresses


def _functions(kernels: Any, symbol: str, told: ctypes.Structure) -> int:
    """The address of a primitive's functions, which have to be told what they expect."""
    functions = _FunctionsStruct.in_dll(kernels, symbol)
    check_size(type(told), functions.size)
    return ctypes.addressof(functions)


def check_size(struct: type[ctypes.Structure], size: int) -> None:
    """That a structure takes as many bytes in Python as in C++."""
    if ctypes.sizeof(struct) != size:
        raise RuntimeError(
            f"{struct.__name__}: {size} bytes in C++ and {ctypes.sizeof(struct)} in Python"
        )


class StepStruct(ctypes.Structure):
    """``Step`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("functions", "what", "weight")),
        *((name, ctypes.c_int64) for name in ("source", "target", "onto", "nonlinear")),
        ("weight_index", ctypes.c_int64),
    )


class _FunctionsStruct(ctypes.Structure):
    """``Functions`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("forward", "backward", "along")),
        ("size", ctypes.c_int64),
    )
