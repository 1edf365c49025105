"""Tables of radial functions: kernels against PyTorch, derivatives of first and second order."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from molnet.kernels import RadialTables
from molnet.kernels.compiler import library

compiled = pytest.mark.skipif(library("double") is None, reason="there is no C++ compiler")

POINTS, ROWS = 13, 15


def make(
    widths: Sequence[int], outputs: Sequence[int], dtype: torch.dtype = torch.float64
) -> tuple[RadialTables, list[list[Tensor]]]:
    torch.manual_seed(0)
    tables = RadialTables(
        torch.randn(POINTS, widths[0], dtype=dtype),
        torch.randn(ROWS, POINTS, dtype=dtype),
        tuple(0.5 + 0.1 * i for i in range(len(widths))),
        factor=1.7,
    )
    networks = [
        [
            torch.randn(before, after, dtype=dtype, requires_grad=True)
            for before, after in zip(widths, [*widths[1:], output], strict=True)
        ]
        for output in outputs
    ]
    return tables, networks


def gradients(
    outputs: Sequence[Tensor], networks: list[list[Tensor]], of_outputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    weights = [weight for network in networks for weight in network]
    return torch.autograd.grad(outputs, weights, of_outputs)


@compiled
@pytest.mark.parametrize("outputs", [[1], [16, 33, 17], [192, 704, 704, 192]], ids=str)
@pytest.mark.parametrize("widths", [[8, 64, 64], [8, 17], [5], [3, 4, 5, 6]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_pytorch(
    widths: list[int], outputs: list[int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, networks = make(widths, outputs, dtype)
    found = tables(networks)
    of_tables = [torch.randn_like(table) for table in found]
    of_weights = gradients(found, networks, of_tables)
    assert "_Tables" in found[0].grad_fn.name()
    monkeypatch.setattr("molnet.kernels.radial.kernels_serve", lambda *_: False)
    expected = tables(networks)
    assert "_Tables" not in expected[0].grad_fn.name()
    of_expected = gradients(expected, networks, of_tables)
    tolerance = {torch.float32: 2e-5, torch.float64: 1e-13}[dtype]
    for ours, theirs in zip([*found, *of_weights], [*expected, *of_expected], strict=True):
        bound = tolerance * theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=bound)


@compiled
@pytest.mark.parametrize("widths", [[2, 3, 4], [2]], ids=str)
def test_derivatives(widths: list[int]) -> None:
    tables, networks = make(widths, [3, 1])
    layers = len(widths)

    def of(*weights: Tensor) -> list[Tensor]:
        return tables([weights[:layers], weights[layers:]])

    weights = [weight for network in networks for weight in network]
    assert torch.autograd.gradcheck(of, weights)
    assert torch.autograd.gradgradcheck(of, weights)


@compiled
def test_some_of_the_gradients() -> None:
    """Of one table alone, by one weight alone."""
    tables, networks = make([8, 16], [5, 7])
    _, second = tables(networks)
    first_layer = networks[1][0]
    networks[0][0].requires_grad_(False)
    (found,) = torch.autograd.grad(second.square().sum(), first_layer)
    (expected,) = torch.autograd.grad(
        tables._in_pytorch([w for network in networks for w in network])[1].square().sum(),
        first_layer,
    )
    torch.testing.assert_close(found, expected)


@compiled
def test_weights_in_any_order_in_memory() -> None:
    tables, networks = make([8, 16], [5, 7])
    found = tables(networks)
    turned = [[w.detach().T.contiguous().T.requires_grad_() for w in each] for each in networks]
    assert not turned[0][0].is_contiguous()
    of_tables = [torch.randn_like(table) for table in found]
    again = tables(turned)
    torch.testing.assert_close(again, found)
    torch.testing.assert_close(
        gradients(again, turned, of_tables), gradients(found, networks, of_tables)
    )


def test_transforms_and_mixed_precision_are_left_to_pytorch() -> None:
    tables, networks = make([8, 16], [5], torch.float32)
    ((first, last),) = networks
    (expected,) = tables(networks)
    many = torch.stack([first.detach(), 2 * first.detach()])
    (found,) = torch.vmap(lambda weight: tables([[weight, last.detach()]]))(many)
    torch.testing.assert_close(found[0], expected)
    with torch.autocast("cpu", torch.bfloat16):
        (coarse,) = tables(networks)
    assert coarse.dtype == torch.bfloat16
