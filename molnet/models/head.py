"""What all heads have in common: from node features to a property of atoms or structures.

Every head is equivariant by construction. What it learns is of order one: the statistics of the
training set (references, mean, scale) enter as plain numbers at construction.

Dimension letters: N atoms, G structures.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from molnet.graph.container import Graph
from molnet.graph.images import unwrapped
from molnet.models.network import Features
from molnet.o3.irreps import Irreps


def sum_over_structures(values: Tensor, graph: Graph) -> Tensor:
    """Sum per-atom values ``[N, ...]`` to ``[G, ...]``."""
    total = values.new_zeros(len(graph.ptr) - 1, *values.shape[1:])
    return total.index_add(0, graph.batch, values)


def softmax_over_structures(logits: Tensor, graph: Graph) -> Tensor:
    """Positive weights ``[N, K]`` of the atoms that add up to one in each structure."""
    of_atoms = graph.batch.unsqueeze(1).expand_as(logits)
    largest = logits.new_zeros(len(graph.ptr) - 1, logits.shape[1]).scatter_reduce(
        0, of_atoms, logits.detach(), "amax", include_self=False
    )
    weights = (logits - largest.index_select(0, graph.batch)).exp()
    return weights / sum_over_structures(weights, graph).index_select(0, graph.batch)


def readout(num_in: int, num_out: int, hidden: int | None = None) -> nn.Sequential:
    """A small network that reads ``num_out`` numbers from ``num_in`` invariants.

    Args:
        num_in, num_out: how many.
        hidden: width of its one hidden layer; None for half of what comes in, but 16 at least.
    """
    width = max(num_in // 2, 16) if hidden is None else hidden
    return nn.Sequential(nn.Linear(num_in, width), nn.SiLU(), nn.Linear(width, num_out))


def positions_from_centre(graph: Graph, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Positions relative to a weighted mean of those of their structure, ``[N, 3]``, Å.

    Args:
        graph: N atoms.
        weights: of the atoms ``[N]``, such as their masses.
        dtype: of the result.

    Raises:
        StructureError: for a periodic structure that is no molecule, see
            :func:`molnet.graph.unwrapped`.
    """
    positions = unwrapped(graph)
    weights = weights.to(positions).unsqueeze(1)
    centres = sum_over_structures(weights * positions, graph) / sum_over_structures(weights, graph)
    return (positions - centres[graph.batch]).to(dtype)


class Predicted(NamedTuple):
    """What a head predicts: something of each atom or of each structure, and its shape."""

    per: Literal["atom", "structure"]
    shape: tuple[int, ...]


class Head(nn.Module, ABC):
    """What all heads have in common.

    Attributes:
        uses_charge: whether the total charge of a structure is an input.
        uses_positions: whether positions themselves are, so that only molecules have a prediction.

    Args:
        num_scalars: width of ``Features.scalars``.
        irreps_in: irreps of ``Features.tensors``, layout ``ir_mul``.
        statistics: of the property that the head predicts.
    """

    uses_charge = False
    uses_positions = False

    def __init__(self, num_scalars: int, irreps_in: Irreps, statistics: dict[str, Any]) -> None:
        super().__init__()
        self.scale = float(statistics.get("scale", 1.0))

    @staticmethod
    def l_required(**options: Any) -> int:
        """Highest degree of the node features that the head reads."""
        return 0

    @staticmethod
    @abstractmethod
    def predicts(**options: Any) -> Predicted:
        """What a head with these options predicts.

        Raises:
            ValueError: for options that do not fit together.
        """

    @abstractmethod
    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Predict the property of every structure, ``[G, ...]``, or atom, ``[N, ...]``."""
