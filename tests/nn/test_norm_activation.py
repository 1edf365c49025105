"""NormActivation: e3nn's numbers for its options, the option that fails there, mistakes."""

import pytest
import torch
from e3nn import nn as e3nn

from molnet.nn import NormActivation
from molnet.o3 import Irreps, change_layout

IRREPS = Irreps("3x0e + 2x1o + 0x2e + 1x1o + 2x0o")


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("options", [{}, {"epsilon": 0.5}, {"bias": True}], ids=str)
@pytest.mark.usefixtures("float64")
def test_agrees_with_e3nn(options, layout):
    theirs = e3nn.NormActivation(IRREPS, torch.tanh, **options)
    ours = NormActivation(IRREPS, torch.tanh, **options, layout=layout)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, IRREPS.dim)
    y = change_layout(ours(change_layout(x, IRREPS, "mul_ir", layout)), IRREPS, layout, "mul_ir")
    torch.testing.assert_close(y, theirs(x), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_without_normalization(layout):
    x = torch.randn(5, 3)
    y = NormActivation("1o", torch.sigmoid, normalize=False, layout=layout)(x)
    torch.testing.assert_close(y, x * x.norm(dim=-1, keepdim=True).sigmoid())


def test_edge_cases():
    x = torch.zeros(5, 3, requires_grad=True)
    y = NormActivation("1o", torch.sigmoid)(x)
    y.sum().backward()
    assert y.abs().max() == 0
    assert x.grad.isfinite().all()
    assert NormActivation("", torch.sigmoid)(torch.empty(4, 0)).shape == (4, 0)
    assert NormActivation("1o", torch.sigmoid)(torch.empty(0, 3)).shape == (0, 3)


def test_mistakes():
    with pytest.raises(ValueError, match="no meaning with normalize=False"):
        NormActivation("1o", torch.tanh, normalize=False, epsilon=1e-3)
    with pytest.raises(ValueError, match="epsilon must be positive, got 0"):
        NormActivation("1o", torch.tanh, epsilon=0)
