"""Equivariant linear map with weights of its own for every species."""

import math

import torch
from torch import Tensor, nn

from molnet.kernels.blocks import BlockwiseMap, MapBlock, RowGroups
from molnet.kernels.blockwise import apply_blockwise
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
        targets = {ir: mul for mul, ir in self.irreps_out}
        self.weights = nn.ParameterDict(
            {
                str(ir): nn.Parameter(torch.randn(num_species, mul, targets[ir]))
                for mul, ir in self.irreps_in
                if ir in targets
            }
        )
        self.map = self._blockwise_map()

    def _blockwise_map(self) -> BlockwiseMap:
        starts_in, starts_out = (
            {entry.ir: part.start for entry, part in zip(irreps, irreps.slices(), strict=True)}
            for irreps in (self.irreps_in, self.irreps_out)
        )
        blocks = []
        start_weight = 0
        for mul, ir in self.irreps_in:
            if str(ir) not in self.weights:
                continue
            mul_out = self.weights[str(ir)].shape[2]
            blocks.append(
                MapBlock(
                    ir.dim,
                    starts_in[ir],
                    mul,
                    starts_out[ir],
                    mul_out,
                    start_weight,
                    1 / math.sqrt(mul),
                )
            )
            start_weight += mul * mul_out
        return BlockwiseMap(tuple(blocks), self.irreps_in.dim, self.irreps_out.dim)

    def forward(self, x: Tensor, species: RowGroups, onto: Tensor | None = None) -> Tensor:
        """Map features ``[N, irreps_in.dim]`` of nodes that are grouped by species.

        Args:
            x: features.
            species: the nodes of each species.
            onto: ``[N, irreps_out.dim]``, to which the result is added in place; nothing else may
                need it.

        Returns:
            ``[N, irreps_out.dim]``.
        """
        check_features(x, self.irreps_in, "features of SpeciesLinear")
        if not self.weights:
            return x.new_zeros(x.shape[0], self.irreps_out.dim) if onto is None else onto
        return apply_blockwise(self.map, x, self.flat_weights(), species, onto)

    def flat_weights(self) -> Tensor:
        """The weights of each species in the order of :attr:`map`, ``[num_species, numel]``."""
        return torch.cat([weight.flatten(1) for weight in self.weights.values()], dim=1)
