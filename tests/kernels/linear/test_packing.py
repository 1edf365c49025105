"""Packed weights of linear maps.

What the maps then compute is compared with autograd in tests/models/test_propagation.py.
"""

import pytest
import torch

from molnet.kernels import BlockwiseMap
from molnet.kernels.compiler import kernels_for
from molnet.kernels.linear.blocks import MapBlock
from molnet.kernels.linear.packing import pack

kernels = kernels_for(torch.ones(1, dtype=torch.float64))
pytestmark = pytest.mark.skipif(kernels is None, reason="there is no C++ compiler")

SMALL = BlockwiseMap((MapBlock(3, 0, 2, 0, 5, 0, 0.5),), 6, 15)
LARGE = BlockwiseMap(
    (MapBlock(1, 0, 40, 0, 33, 0, 0.25), MapBlock(3, 40, 7, 33, 64, 1320, 3.0)), 61, 225
)


def test_every_weight_times_its_factor_stands_once_for_map_and_transpose() -> None:
    weights = torch.randn(10, dtype=torch.float64), torch.randn(3, 1768, dtype=torch.float64)
    packed, memory = pack(kernels, [(SMALL, weights[0]), (LARGE, weights[1])])
    starts = [memory.data_ptr() + 8 * len(memory)]
    for each in reversed(packed):
        starts += [each.panels_of_transposed, each.panels]
    pieces = memory.split(
        [(b - a) // 8 for a, b in zip(starts[:0:-1], starts[-2::-1], strict=True)]
    )
    factors = torch.cat([torch.full((1320,), 0.25), torch.full((448,), 3.0)])
    for expected, of_map in zip(
        (0.5 * weights[0], factors * weights[1]), (pieces[:2], pieces[2:]), strict=True
    ):
        for piece in of_map:
            assert torch.equal(piece[piece != 0].sort().values, expected.flatten().sort().values)
    assert [each.weight_numel for each in packed] == [10, 1768]
    assert all((start - memory.data_ptr()) % 64 == 0 for start in starts)
