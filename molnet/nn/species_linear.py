"""Equivariant linear map with weights of its own for every species."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from molnet.o3.irreps import Irreps
from molnet.o3.layout import Blocks


class SpeciesOrder(NamedTuple):
    """Nodes ordered by species, so that those of one species are one contiguous run.

    Attributes:
        order: node indices sorted by species, ``[N]``.
        inverse: where each node went, ``[N]``.
        counts: number of nodes of each species.
    """

    order: Tensor
    inverse: Tensor
    counts: list[int]

    @classmethod
    def of(cls, species: Tensor, num_species: int) -> "SpeciesOrder":
        """Sort species indices ``[N]`` in ``range(num_species)``."""
        order = species.argsort(stable=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        return cls(order, inverse, species.bincount(minlength=num_species).tolist())


class SpeciesLinear(nn.Module):
    r"""``y = W[species] x`` for each irrep, in layout ``ir_mul``.

    .. math:: y_{a,m,v} = \frac{1}{\sqrt{U}} \sum_{u=1}^{U} W^{(l)}_{s(a),u,v}\, x_{a,m,u}

    It equals e3nn's fully connected tensor product with the one-hot species, up to the
    normalisation: here the output has unit variance for every species.

    Args:
        num_species: how many species there are.
        irreps_in: sorted and simplified irreps of the input.
        irreps_out: sorted and simplified irreps of the output. Irreps that the input lacks come
            out as zeros.
    """

    def __init__(self, num_species: int, irreps_in: Irreps | str, irreps_out: Irreps | str) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        for irreps in (self.irreps_in, self.irreps_out):
            if irreps != irreps.sort().irreps.simplify():
                raise ValueError(f"expected sorted and simplified irreps, got {irreps}")
        targets = {ir: mul for mul, ir in self.irreps_out}
        self._blocks = Blocks(self.irreps_in, "ir_mul", "features of SpeciesLinear")
        self.weights = nn.ParameterDict(
            {
                str(ir): nn.Parameter(torch.randn(num_species, mul, targets[ir]))
                for mul, ir in self.irreps_in
                if ir in targets
            }
        )

    def forward(self, x: Tensor, species: SpeciesOrder) -> Tensor:
        """Map features ``[N, irreps_in.dim]`` to ``[N, irreps_out.dim]``."""
        inputs = {
            ir: block for (_, ir), block in zip(self.irreps_in, self._blocks.split(x), strict=True)
        }  # [N, 2l + 1, U] of each irrep
        blocks = []
        for mul, ir in self.irreps_out:
            if str(ir) not in self.weights:
                blocks.append(x.new_zeros(x.shape[0], ir.dim, mul))
                continue
            weight = self.weights[str(ir)] / math.sqrt(inputs[ir].shape[2])
            runs = inputs[ir].index_select(0, species.order).split(species.counts)
            blocks.append(torch.cat([run @ w for run, w in zip(runs, weight, strict=True)]))
        if not blocks:
            return x.new_zeros(x.shape[0], 0)
        return self._blocks.join(blocks).index_select(0, species.inverse)
