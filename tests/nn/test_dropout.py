"""Dropout: e3nn's draws, whole irreps, mean, mistakes."""

import pytest
import torch
from e3nn import nn as e3nn

from molnet.nn import Dropout
from molnet.o3 import change_layout

IRREPS = "10x0e + 10x1o + 0x1e + 5x2e"


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_drops_as_e3nn(p, layout):
    """The same share is dropped, the rest scaled alike, and axes in the middle share the draw."""
    x = torch.ones(200, 4, 65)
    expected = e3nn.Dropout(IRREPS, p)(x)
    dropout = Dropout(IRREPS, p, layout=layout)
    factor = dropout(x)
    assert torch.equal(factor, factor[:, :1].expand_as(factor))
    assert factor.mean().item() == pytest.approx(expected.mean().item(), abs=0.05)
    torch.testing.assert_close(factor.unique(), expected.unique(), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_draws():
    x, dropout = torch.ones(6, 65), Dropout(IRREPS, 0.3)
    torch.manual_seed(1)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_drops_whole_irreps_and_keeps_the_mean(layout):
    dropout = Dropout("50x1o", 0.25, layout=layout)
    x = torch.ones(400, 150)
    y = change_layout(dropout(x), "50x1o", layout, "mul_ir").view(400, 50, 3)
    assert (y == y[:, :, :1]).all()
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(dropout.eval()(x), x)


def test_edge_cases_and_mistakes():
    assert Dropout(IRREPS, 0.5)(torch.randn(65)).shape == (65,)
    assert Dropout(IRREPS, 0.5)(torch.empty(0, 65)).shape == (0, 65)
    assert Dropout("", 0.5)(torch.empty(3, 0)).shape == (3, 0)
    assert repr(Dropout("2x0e", 0.5)) == "Dropout (2x0e, p=0.5)"
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="probability between 0 and 1"):
            Dropout("2x0e", p)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_derivatives_of_first_and_second_order_in_training(layout):
    dropout = Dropout(IRREPS, 0.3, layout=layout)
    x = torch.randn(2, 65, dtype=torch.float64, requires_grad=True)

    def same_draw(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return dropout(x)

    assert not torch.equal(same_draw(x), x)
    assert torch.autograd.gradcheck(same_draw, x)
    assert torch.autograd.gradgradcheck(same_draw, x)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_compiles_and_exports_in_training(layout):
    dropout = Dropout(IRREPS, 0.3, layout=layout)
    torch._dynamo.reset()
    compiled = torch.compile(dropout, fullgraph=True, dynamic=True, backend="eager")
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        dropout, (torch.randn(5, 65),), dynamic_shapes=[{0: batch}]
    ).module()
    for n in (5, 3):
        x = torch.randn(n, 65)
        draws = []
        for function in (dropout, compiled, program):
            torch.manual_seed(1)
            draws.append(function(x))
        assert torch.equal(draws[1], draws[0])
        assert torch.equal(draws[2], draws[0])
        assert not torch.equal(draws[0], x)
