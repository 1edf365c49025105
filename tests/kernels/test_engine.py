"""A backward pass computes what it is asked for, and nothing else."""

from typing import Any

import torch
from torch import Tensor

from molnet.kernels.engine import Function, wanted_gradients

asked: list[list[bool]] = []


class Product(Function):
    @staticmethod
    def forward(x: Tensor, w: Tensor) -> Tensor:
        return x * w

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(list(wanted_gradients(ctx)))
        x, w = ctx.saved_tensors
        return g * w, g * x


def test_weights_are_not_wanted_while_forces_are_computed() -> None:
    asked.clear()
    x = torch.randn(3, requires_grad=True)
    w = torch.nn.Parameter(torch.randn(3))
    y = Product.apply(x.sin(), w.view_as(w)).sum()
    torch.autograd.grad(y, x, retain_graph=True)
    torch.autograd.grad(y, w, retain_graph=True)
    y.backward()
    assert asked == [[True, False], [False, True], [True, True]]


def test_constants_are_never_wanted() -> None:
    asked.clear()
    w = torch.nn.Parameter(torch.randn(3))
    Product.apply(torch.randn(3), w.view_as(w)).sum().backward()
    assert asked == [[False, True]]


def test_functional_transforms_still_work() -> None:
    w = torch.randn(3)
    gradient = torch.func.grad(lambda x: Product.apply(x, w).sum())(torch.randn(3))
    torch.testing.assert_close(gradient, w)
