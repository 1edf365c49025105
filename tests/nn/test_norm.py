"""LayerNorm and RMSNorm: what they make one, against direct formulas."""

import pytest
import torch

from molnet.nn import LayerNorm, RMSNorm
from molnet.o3 import change_layout

IRREPS = "8x0e + 4x1o + 4x0o + 3x2e"
SIZES = [8, 12, 4, 15]


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_layer_norm(layout):
    norm = LayerNorm(IRREPS, eps=0, affine=False, layout=layout)
    x = change_layout(3 * torch.randn(5, 39) + 1, IRREPS, "mul_ir", layout)
    scalars, *others = norm(x).split(SIZES, -1)
    torch.testing.assert_close(scalars.mean(-1), torch.zeros(5), atol=1e-6, rtol=0)
    for part in (scalars, *others):
        torch.testing.assert_close(part.square().mean(-1), torch.ones(5))
    # odd scalars have no invariant mean
    torch.testing.assert_close(others[1] / others[1][:, :1], x[:, 20:24] / x[:, 20:21])


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_rms_norm(layout):
    norm = RMSNorm(IRREPS, eps=0, affine=False, layout=layout)
    x = change_layout(3 * torch.randn(5, 39), IRREPS, "mul_ir", layout)
    y = norm(x)
    ratio = y / x
    torch.testing.assert_close(ratio, ratio[:, :1].expand(-1, 39))
    per_degree = zip(y.split(SIZES, -1), (1, 3, 1, 5), strict=True)
    mean_square = sum(part.square().sum(-1) / dim for part, dim in per_degree) / 19
    torch.testing.assert_close(mean_square, torch.ones(5))


@pytest.mark.parametrize("module", [LayerNorm, RMSNorm])
def test_affine_weights_act_on_whole_copies(module):
    norm = module("1x0e + 2x1o")
    x = torch.randn(5, 7)
    y = norm(x)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2, 3]))
    factors = torch.tensor([1.0, 2, 2, 2, 3, 3, 3])
    torch.testing.assert_close(norm(x), factors * y)


@pytest.mark.parametrize("module", [LayerNorm, RMSNorm])
def test_edge_cases(module):
    assert module("")(torch.empty(3, 0)).shape == (3, 0)
    assert module("0x0e + 2x1o")(torch.empty(0, 6)).shape == (0, 6)
    x = torch.zeros(1, 4, requires_grad=True)  # no division by zero
    y = module("0e + 1o")(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    with pytest.raises(ValueError, match=r"must have shape \[\.\.\., 4\]"):
        module("0e + 1o")(torch.zeros(1, 5))
