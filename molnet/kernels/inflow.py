"""What the edges of a graph bring to its nodes and take from them."""

import ctypes
from typing import Any

from torch import Tensor

from molnet.kernels.compiler import kernels_for, kernels_serve
from molnet.kernels.engine import Function


def net_inflow(values: Tensor, senders: Tensor, receivers: Tensor, num_nodes: int) -> Tensor:
    """Sum over the edges that arrive at each node, less the sum over those that leave it.

    Args:
        values: ``[E, D]``.
        senders, receivers: ``[E]`` indices of nodes.
        num_nodes: N.

    Returns:
        ``[N, D]``.
    """
    if not kernels_serve(values):
        total = values.new_zeros(num_nodes, values.shape[1])
        return total.index_add(0, receivers, values).index_add(0, senders, values, alpha=-1)
    return _Inflow.apply(values, senders, receivers, num_nodes)


class _Inflow(Function):
    @staticmethod
    def forward(values: Tensor, senders: Tensor, receivers: Tensor, num_nodes: int) -> Tensor:
        total = values.new_empty(num_nodes, values.shape[1])
        given = (senders.long(), receivers.long(), values)
        held = [tensor.contiguous() for tensor in given]
        kernel: Any = kernels_for(values)
        kernel.net_inflow(
            *(ctypes.c_int64(size) for size in (*values.shape, num_nodes)),
            *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (*held, total)),
        )
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, senders, receivers, _ = inputs
        ctx.save_for_backward(senders, receivers)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        senders, receivers = ctx.saved_tensors
        return g.index_select(0, receivers) - g.index_select(0, senders), None, None, None
