"""Equivariant linear map with weights of its own for every species."""

import math

import torch
from torch import Tensor, nn

from molnet.kernels.linear.blocks import BlockwiseMap, MapBlock, RowGroups
from molnet.kernels.linear.blockwise import LinearMap
from molnet.kernels.single import apply_step
from molnet.o3.irreps import Irreps
from molnet.o3.layout import check_features


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
        self.map = self._blockwise_map()
        numel = sum(block.mul_in * block.mul_out for block in self.map.blocks)
        self.weight = nn.Parameter(torch.randn(num_species, numel)) if numel else None

    def _blockwise_map(self) -> BlockwiseMap:
        """One block for each irrep of the input that the output has too."""
        targets = {
            entry.ir: (entry.mul, part.start)
            for entry, part in zip(self.irreps_out, self.irreps_out.slices(), strict=True)
        }
        blocks = []
        start_weight = 0
        for (mul, ir), part in zip(self.irreps_in, self.irreps_in.slices(), strict=True):
            if ir not in targets:
                continue
            mul_out, start_out = targets[ir]
            alpha = 1 / math.sqrt(mul)
            blocks.append(
                MapBlock(ir.dim, part.start, mul, start_out, mul_out, start_weight, alpha)
            )
            start_weight += mul * mul_out
        return BlockwiseMap(tuple(blocks), self.irreps_in.dim, self.irreps_out.dim)

    def weight_views(self) -> dict[str, Tensor]:
        """The weights of each irrep, views ``[num_species, mul_in, mul_out]``."""
        if self.weight is None:
            return {}
        mapped = [ir for _, ir in self.irreps_in if ir in {out for _, out in self.irreps_out}]
        views = {}
        for ir, block in zip(mapped, self.map.blocks, strict=True):
            part = self.weight.narrow(1, block.start_weight, block.mul_in * block.mul_out)
            views[str(ir)] = part.unflatten(1, (block.mul_in, block.mul_out))
        return views

    def as_step(self) -> LinearMap | None:
        """What :meth:`forward` does, as a step for kernels; None if there is nothing to do."""
        return None if self.weight is None else LinearMap(self.map, of_species=True)

    def forward(self, x: Tensor, species: RowGroups) -> Tensor:
        """Map features ``[N, irreps_in.dim]`` of nodes that are grouped by species.

        Args:
            x: features.
            species: the nodes of each species.

        Returns:
            ``[N, irreps_out.dim]``.
        """
        check_features(x, self.irreps_in, "features of SpeciesLinear")
        if self.weight is None:
            return x.new_zeros(x.shape[0], self.irreps_out.dim)
        return apply_step(LinearMap(self.map, of_species=True), x, self.weight, species)
