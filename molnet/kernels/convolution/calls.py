"""Calls of the compiled convolution on tensors."""

import ctypes
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.kernels.compiler import kernels_for
from molnet.kernels.convolution.plan import Plan
from molnet.kernels.convolution.weights import Weights
from molnet.kernels.edges import Edges

TERMS = (1, 4)
"""How many rows of the table make the weights of an edge: one, or those of a cubic spline."""


def available(x: Tensor, plan: Plan, terms: int) -> bool:
    """Whether compiled kernels serve these features, irreps and weights on this machine."""
    return terms in TERMS and kernels_for(x, plan.l_max) is not None


class ConvolutionStruct(ctypes.Structure):
    """``Convolution`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "edges", "paths", "x", "out")),
        *(
            (name, ctypes.c_int64)
            for name in ("matrix", "weight", "terms", "table_rows", "table_stride")
        ),
        ("path", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in Edges._fields),
        ("rows", ctypes.c_void_p),
        ("coupling", ctypes.c_void_p),
        ("harmonics", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("onto", ctypes.c_int64),
    )

    @classmethod
    def of(cls, plan: Plan, coupling: Tensor, table: Tensor, terms: int) -> "ConvolutionStruct":
        """All but what depends on the graph, of tensors that have to stay."""
        _, address = _path_table(plan)
        return cls(
            paths=len(plan.paths),
            x=plan.input_size,
            out=plan.output_size,
            matrix=plan.matrix_size,
            weight=plan.weight_size,
            terms=terms,
            table_rows=len(table),
            path=address,
            coupling=coupling.data_ptr(),
            harmonics=len(coupling),
        )


def run(
    name: str,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor | None],
    coupling: Tensor,
    weights: Weights,
    edges: Edges,
    plan: Plan,
) -> None:
    """Run the kernel ``name`` on inputs of one dtype; it fills the outputs that are not None."""
    kernels = kernels_for(weights.table, plan.l_max)
    if kernels is None:
        raise RuntimeError("the compiled convolution was called on a machine without it")
    coupling = coupling.contiguous()
    struct = ConvolutionStruct.of(plan, coupling, weights.table, weights.basis.shape[1])
    struct.nodes, struct.edges = edges.receiver_starts.shape[0] - 1, weights.rows.shape[0]
    for field, index in zip((*Edges._fields, "rows"), (*edges, weights.rows), strict=True):
        setattr(struct, field, index.data_ptr())
    struct.threads = torch.get_num_threads()
    given = [None if tensor is None else tensor.contiguous() for tensor in inputs]
    pointers = [None if t is None else t.data_ptr() for t in (*given, *outputs)]
    getattr(kernels, f"convolution_{name}")(ctypes.byref(struct), *map(ctypes.c_void_p, pointers))


@cache
def _path_table(plan: Plan) -> tuple[NDArray[np.int64], int]:
    """``Path`` of the C++ source for each path, ``[paths, 10]``, and where it is."""
    x_starts = _starts([block.size for block in plan.inputs])
    out_starts = _starts([block.size for block in plan.outputs])
    filled = [0] * len(plan.outputs)
    table: list[tuple[int, ...]] = []
    for path, matrix, weight in zip(
        plan.paths, plan.matrix_offsets, _starts(plan.weight_sizes), strict=True
    ):
        dim_in, channels = plan.inputs[path.source]
        dim_out, stride = plan.outputs[path.target]
        out = out_starts[path.target] + filled[path.target]
        filled[path.target] += channels
        x = x_starts[path.source]
        table.append(
            (dim_in, dim_out, channels, x, out, stride, matrix, weight, path.degree, path.harmonic)
        )
    array = np.array(table, dtype=np.int64)
    return array, array.ctypes.data


def _starts(sizes: Sequence[int]) -> list[int]:
    return list(accumulate(sizes, initial=0))[:-1]
