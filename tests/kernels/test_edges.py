"""Edges are checked once, before kernels trust them."""

import pytest
import torch

from molnet.kernels import Edges


def test_orders() -> None:
    edges = Edges.of(torch.tensor([2, 0, 2, 1]), torch.tensor([0, 1, 1, 3]), 4)
    assert edges.receiver_starts.tolist() == [0, 1, 3, 3, 4]
    assert edges.by_sender.tolist() == [1, 3, 0, 2]
    assert edges.sender_starts.tolist() == [0, 1, 2, 4, 4]


@pytest.mark.parametrize(
    ("senders", "receivers", "message"),
    [
        ([0, 1], [1, 0], "sorted by receiver"),
        ([0, 5], [0, 1], "expected senders from 0 to 1, got 0 to 5"),
        ([0, 1], [-1, 1], "expected receivers from 0 to 1"),
        ([0], [0, 1], "one shape"),
    ],
)
def test_edges_that_are_refused(senders: list[int], receivers: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Edges.of(torch.tensor(senders), torch.tensor(receivers), 2)


def test_indices_of_another_integer_type() -> None:
    senders, receivers = torch.tensor([2, 0, 1]), torch.tensor([0, 1, 1])
    expected = Edges.of(senders, receivers, 3)
    for found, index in zip(Edges.of(senders.int(), receivers.int(), 3), expected, strict=True):
        assert found.dtype == torch.int64
        assert torch.equal(found, index)
