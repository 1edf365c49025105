"""The orders in which passes visit a graph.

The passes themselves are compared with autograd in tests/models/test_propagation.py.
"""

import pytest
import torch

from molnet.kernels import Edges, GraphOrders, RowGroups
from molnet.kernels.compiler import library

kernels = library("double")
pytestmark = pytest.mark.skipif(kernels is None, reason="there is no C++ compiler")


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(0, 0), (1, 0), (9, 40), (300, 5000)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_orders_agree_with_sorting(num_nodes: int, num_edges: int, dtype: torch.dtype) -> None:
    senders, receivers = torch.randint(max(num_nodes, 1), (2, num_edges), dtype=dtype)
    receivers = receivers.sort().values
    species = torch.randint(4, (num_nodes,))
    graph = GraphOrders(kernels, species, 4, senders, receivers)
    groups, edges = RowGroups.of(species, 4), Edges.of(senders, receivers, num_nodes)
    expected = [
        *(groups.order, groups.starts),
        *(edges.by_sender, edges.sender_starts),
        *(torch.arange(num_edges), edges.receiver_starts),
    ]
    assert torch.equal(graph.orders, torch.cat(expected))


@pytest.mark.parametrize(
    ("species", "senders", "receivers", "message"),
    [
        ([0, 1], [1, 0], [1, 0], "expected edges sorted by receiver"),
        ([0, 1], [0, 2], [0, 1], "expected senders from 0 to 1, got 0 to 2"),
        ([0, 1], [0, 1], [-1, 1], "expected receivers from 0 to 1, got -1 to 1"),
        ([0, 1], [0], [0, 1], r"one shape \[E\], got \[1\] and \[2\]"),
        ([0, 4], [0, 1], [0, 1], "expected species from 0 to 3, got 0 to 4"),
        ([-1, 0], [], [], "expected species from 0 to 3, got -1 to 0"),
    ],
)
def test_other_indices_are_refused(
    species: list[int], senders: list[int], receivers: list[int], message: str
) -> None:
    ends = torch.tensor(senders, dtype=torch.int64), torch.tensor(receivers, dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        GraphOrders(kernels, torch.tensor(species), 4, *ends)
