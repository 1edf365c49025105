"""Layouts: what goes where, both ways, and cuts into other entries."""

import pytest
import torch

from molnet.o3 import Irreps, change_layout
from molnet.o3.layout import Blocks

IRREPS = Irreps("2x0e + 3x1o + 0x2e + 1x1o + 2x2e")


def test_order_in_memory():
    x = torch.arange(IRREPS.dim)
    y = change_layout(x, IRREPS, "mul_ir", "ir_mul")
    assert y[:2].tolist() == [0, 1]
    assert y[2:11].view(3, 3).tolist() == [[2, 5, 8], [3, 6, 9], [4, 7, 10]]
    assert y[11:14].tolist() == [11, 12, 13]
    assert y[14:].view(5, 2)[:, 0].tolist() == [14, 15, 16, 17, 18]
    assert change_layout(y, IRREPS, "ir_mul", "mul_ir").tolist() == x.tolist()


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_blocks_are_views_and_join_again(layout):
    x = torch.randn(4, 2, IRREPS.dim)
    blocks = Blocks(IRREPS, layout)
    parts = blocks.split(x)
    assert [part.shape[2:] for part in parts] == [(1, 2), (3, 3), (5, 0), (3, 1), (5, 2)]
    assert all(part.data_ptr() >= x.data_ptr() for part in parts if part.numel())
    assert torch.equal(blocks.join(parts), x)
    assert Blocks(Irreps(""), layout).split(torch.empty(3, 0)) == []


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(
    "cut", ["2x0e + 4x1o + 2x2e", "1x0e + 1x0e + 2x1o + 2x1o + 2x2e", "2x0e + 3x1o + 1x1o + 2x2e"]
)
def test_cuts_into_other_entries(cut, layout):
    x = torch.randn(4, IRREPS.dim)
    cut = Irreps(cut)
    parts = Blocks(IRREPS, layout, cut=cut).split(change_layout(x, IRREPS, "mul_ir", layout))
    expected = Blocks(cut, "mul_ir").split(x)
    assert len(parts) == len(expected)
    for part, block in zip(parts, expected, strict=True):
        assert torch.equal(part, block)


def test_mistakes():
    with pytest.raises(ValueError, match=r"layout must be one of .*, got 'mul-ir'"):
        Blocks(IRREPS, "mul-ir")
    with pytest.raises(ValueError, match=r"embedding must have shape \[\.\.\., 24\]"):
        Blocks(IRREPS, "mul_ir", "embedding").split(torch.zeros(3, 23))
