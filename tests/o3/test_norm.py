"""Norm: values, and derivatives where a feature vanishes."""

import pytest
import torch

from molnet.o3 import Norm, change_layout


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_norms_of_each_copy(layout):
    x = change_layout(torch.tensor([3.0, 1, 2, 2, 0, 3, 4]), "1x0e + 2x1o", "mul_ir", layout)
    norm = Norm("1x0e + 2x1o", layout=layout)
    assert norm(x).tolist() == [3, 3, 5]
    assert repr(norm) == "Norm(1x0e+2x1o)"


def test_derivatives_of_a_vanishing_vector():
    x = torch.tensor([0.0, 0, 0, 1, 2, 2], requires_grad=True)
    (gradient,) = torch.autograd.grad(Norm("2x1o")(x).sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, torch.tensor([0, 0, 0, 1, 2, 2]) / 3)
    (second,) = torch.autograd.grad(gradient.square().sum() + gradient[4], x)
    assert second.isfinite().all()
    assert second[:3].abs().max() == 0
