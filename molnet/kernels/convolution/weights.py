"""The weights of a convolution's paths on every edge, as a few rows of a table."""

from typing import NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    r"""Weights of all edges: :math:`w_e = \sum_t B_{e,t}\, T_{row(e) + t}`.

    With a table of functions on knots and the values ``B`` of a spline's basis, an edge needs a few
    numbers in place of one for each path and channel. One term and a row for each edge
    (:meth:`of_edges`) are weights given edge by edge.

    Attributes:
        basis: ``[E, terms]``.
        table: ``[rows, paths × channels]``.
        rows: first row of each edge, ``[E]`` integers. With a single term no two edges may share
            a row.
    """

    basis: Tensor
    table: Tensor
    rows: Tensor

    @classmethod
    def of_edges(cls, weights: Tensor) -> "Weights":
        """Weights given as one row for each edge, ``[E, paths × channels]``."""
        edges = weights.shape[0]
        return cls(weights.new_ones(edges, 1), weights, torch.arange(edges, device=weights.device))

    def of_every_edge(self) -> Tensor:
        """The weights written out, ``[E, paths × channels]``."""
        total = self.basis[:, :1] * self.table.index_select(0, self.rows)
        for term in range(1, self.basis.shape[1]):
            rows = self.table.index_select(0, self.rows + term)
            total = total + self.basis[:, term : term + 1] * rows
        return total
