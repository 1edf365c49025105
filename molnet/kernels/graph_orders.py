"""A graph's nodes and edges in the orders in which passes over a program visit them."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from molnet.kernels.edges import Edges


class GraphOrders:
    """Nodes by species, and edges by sender and by receiver.

    Args:
        kernels: the compiled ones.
        species: indices ``[N]``.
        num_species: how many there are.
        senders, receivers: ``[E]``, receivers ascending.

    Raises:
        ValueError: when they do not ascend, or an index is out of range.

    Attributes:
        orders: nodes by species and where each species starts, edges by sender and by receiver and
            where each node's start.
    """

    def __init__(
        self,
        kernels: Any,
        species: Tensor,
        num_species: int,
        senders: Tensor,
        receivers: Tensor,
    ) -> None:
        given = [index.long().contiguous() for index in (species, senders, receivers)]
        if senders.shape != receivers.shape:
            Edges.of(senders, receivers, len(species))  # says so
        self.struct = GraphStruct(
            len(species),
            len(senders),
            num_species,
            torch.get_num_threads(),
            *(index.data_ptr() for index in given),
        )
        kernels.orders_size.restype = kernels.order_graph.restype = ctypes.c_int64
        self.orders = given[0].new_empty(kernels.orders_size(ctypes.byref(self.struct)))
        self._given = given  # the structure holds no more than addresses
        memory = ctypes.c_void_p(self.orders.data_ptr())
        if not kernels.order_graph(ctypes.byref(self.struct), memory):
            Edges.of(senders, receivers, len(species))  # says what is wrong with the edges
            raise ValueError(
                f"expected species from 0 to {num_species - 1}, got {int(species.min())} to "
                f"{int(species.max())}"
            )


class GraphStruct(ctypes.Structure):
    """``Graph`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "edges", "groups", "threads")),
        *((name, ctypes.c_void_p) for name in ("species", "senders", "receivers")),
        *((name, ctypes.c_void_p) for name in ("order", "group_starts")),
        *((name, ctypes.c_void_p) for name in ("receiver_starts", "by_sender", "sender_starts")),
    )
