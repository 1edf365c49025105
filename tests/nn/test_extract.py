"""Extract, ExtractIr and Identity: what they take, in which form, and what they refuse."""

import pytest
import torch
from e3nn import nn as e3nn

from molnet.nn import Extract, ExtractIr, Identity
from molnet.o3 import change_layout

IRREPS = "2x1e + 3x0e + 1x1e + 4x2o"


def test_agrees_with_e3nn():
    outs, instructions = ["4x2o + 2x1e", "", "1x1e"], [(3, 0), (), (2,)]
    x = torch.randn(5, 2, 32)
    ours, theirs = Extract(IRREPS, outs, instructions), e3nn.Extract(IRREPS, outs, instructions)
    ours.load_state_dict(theirs.state_dict())
    for y, expected in zip(ours(x), theirs(x), strict=True):
        assert torch.equal(y, expected)
    assert torch.equal(ExtractIr(IRREPS, "1e")(x), e3nn.ExtractIr(IRREPS, "1e")(x))
    assert str(ExtractIr(IRREPS, "1e").irreps_out) == "2x1e+1x1e"
    assert ExtractIr(IRREPS, "3e")(x).shape == (5, 2, 0)


def test_is_the_same_in_both_layouts():
    x = torch.randn(5, 32)
    extract = Extract(IRREPS, ["4x2o + 2x1e"], [(3, 0)], squeeze_out=True)
    y = extract(change_layout(x, IRREPS, "mul_ir", "ir_mul"))
    torch.testing.assert_close(change_layout(y, "4x2o + 2x1e", "ir_mul", "mul_ir"), extract(x))


def test_identity_merges_entries_where_the_layout_needs_it():
    x = torch.randn(5, 15)
    cut, whole = "2x1o + 0x0e + 3x1o", "5x1o"
    assert torch.equal(Identity(cut, whole)(x), x)
    y = Identity(cut, whole, layout="ir_mul")(change_layout(x, cut, "mul_ir", "ir_mul"))
    torch.testing.assert_close(change_layout(y, whole, "ir_mul", "mul_ir"), x)
    theirs = e3nn.Identity(cut, whole)
    identity = Identity(cut, whole)
    identity.load_state_dict(theirs.state_dict())
    assert repr(identity) == repr(theirs)


def test_mistakes():
    with pytest.raises(ValueError, match=r"entries \(0,\) of .* are 2x1e, not 3x1e"):
        Extract(IRREPS, ["3x1e"], [(0,)])
    with pytest.raises(IndexError, match="entry 4 of irreps_in, which has 4 entries"):
        Extract(IRREPS, ["1e"], [(4,)])
    with pytest.raises(ValueError, match="each of the 1 outputs needs one instruction, got 2"):
        Extract(IRREPS, ["2x1e"], [(0,), (1,)])
    with pytest.raises(ValueError, match="identity cannot map 1x0e to 2x0e"):
        Identity("0e", "2x0e")
    with pytest.raises(ValueError, match=r"features of Extract must have shape \[\.\.\., 32\]"):
        ExtractIr(IRREPS, "1e")(torch.randn(31))
