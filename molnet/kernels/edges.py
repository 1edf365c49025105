"""The edges of a graph in the two orders in which a convolution visits them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Edges(NamedTuple):
    """Edges in ascending order of receivers, with the bookkeeping of both sweeps.

    Make it once for a graph with :meth:`of`; every layer and every derivative uses it again.

    Attributes:
        senders, receivers: node indices ``[E]``.
        receiver_starts: the edges of receiver ``a`` are ``receiver_starts[a]`` up to
            ``receiver_starts[a + 1]``, ``[N + 1]``.
        by_sender: edge indices in ascending order of senders, ``[E]``.
        sender_starts: the same of ``by_sender`` for each sender, ``[N + 1]``.
    """

    senders: Tensor
    receivers: Tensor
    receiver_starts: Tensor
    by_sender: Tensor
    sender_starts: Tensor

    @classmethod
    def of(cls, senders: Tensor, receivers: Tensor, num_nodes: int) -> "Edges":
        """Order the edges between ``num_nodes`` nodes.

        Raises:
            ValueError: when the receivers do not ascend, or an index is no node.
        """
        if senders.shape != receivers.shape or senders.dim() != 1:
            raise ValueError(
                "expected senders and receivers of one shape [E], got "
                f"{list(senders.shape)} and {list(receivers.shape)}"
            )
        senders, receivers = senders.long().contiguous(), receivers.long().contiguous()
        if len(receivers) and bool((receivers[1:] < receivers[:-1]).any()):
            raise ValueError(
                "expected edges sorted by receiver; sort them, e.g. with receivers.argsort()"
            )
        sorted_senders, by_sender = senders.sort(stable=True)
        for name, index in (("senders", sorted_senders), ("receivers", receivers)):
            if len(index) and (int(index[0]) < 0 or int(index[-1]) >= num_nodes):
                raise ValueError(
                    f"expected {name} from 0 to {num_nodes - 1}, got {int(index[0])} to "
                    f"{int(index[-1])}"
                )
        return cls(
            senders,
            receivers,
            starts_of(receivers, num_nodes),
            by_sender,
            starts_of(sorted_senders, num_nodes),
        )


def starts_of(ascending: Tensor, size: int) -> Tensor:
    """Where each of the values 0 to ``size - 1`` starts in ascending integers, and where all end.

    ``[size + 1]``.
    """
    return torch.searchsorted(ascending, torch.arange(size + 1, device=ascending.device))
