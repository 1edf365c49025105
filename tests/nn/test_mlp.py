"""FullyConnectedNet: e3nn's numbers, variance, derivatives."""

import pytest
import torch
from e3nn import nn as e3nn

from molnet.nn import FullyConnectedNet

silu = torch.nn.functional.silu


@pytest.mark.parametrize("out_act", [False, True])
@pytest.mark.parametrize("variances", [(1, 1), (2, 0.5)])
@pytest.mark.parametrize("hs", [[4, 8, 3], [4, 3], [4], [2, 16, 16, 16, 1]], ids=str)
def test_agrees_with_e3nn(hs, variances, out_act):
    theirs = e3nn.FullyConnectedNet(hs, silu, *variances, out_act).double()
    ours = FullyConnectedNet(hs, silu, *variances, out_act).double()
    ours.load_state_dict(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    x = torch.randn(5, 2, hs[0], dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


def test_variance_is_as_wanted():
    net = FullyConnectedNet([64, 256, 256, 256], silu, variance_in=9, variance_out=4)
    y = net(3 * torch.randn(2000, 64))
    assert y.square().mean().item() == pytest.approx(4, rel=0.2)


def test_without_activation_it_is_linear():
    net = FullyConnectedNet([3, 5, 2])
    x, y = torch.randn(2, 7, 3)
    torch.testing.assert_close(net(x + 2 * y), net(x) + 2 * net(y))
    assert net(torch.empty(0, 3)).shape == (0, 2)


def test_derivatives_of_first_and_second_order():
    net = FullyConnectedNet([3, 5, 2], silu, out_act=True).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, x)
    assert torch.autograd.gradgradcheck(net, x)
