"""The compiled sum of energies of atoms and its derivatives, against PyTorch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from molnet.kernels import ReadOut
from molnet.kernels.compiler import library

pytestmark = pytest.mark.skipif(library("double") is None, reason="there is no C++ compiler")

Energies = Callable[[Tensor], Tensor]


def make(
    num_nodes: int, num_scalars: int, hidden: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, torch.nn.Linear, torch.nn.Linear, Tensor, ReadOut]:
    torch.manual_seed(0)
    first = torch.nn.Linear(num_scalars, hidden, dtype=dtype)
    last = torch.nn.Linear(hidden, 1, dtype=dtype)
    scalars = (3 * torch.randn(num_nodes, num_scalars, dtype=dtype)).requires_grad_()
    constants = 1000 * torch.randn(num_nodes, dtype=torch.float64)
    structures = torch.randint(4, (num_nodes,))
    return scalars, first, last, constants, ReadOut(0.3, structures, 5)


def in_pytorch(
    read: ReadOut, first: torch.nn.Linear, last: torch.nn.Linear, constants: Tensor
) -> Energies:
    def energies(scalars: Tensor) -> Tensor:
        values = last(torch.nn.functional.silu(first(scalars))).squeeze(1)
        total = constants.new_zeros(5)
        return total.index_add(0, read.structures, 0.3 * values.double() + constants)

    return energies


@pytest.mark.parametrize("num_nodes", [0, 1, 70])
@pytest.mark.parametrize(("num_scalars", "hidden"), [(1, 16), (13, 17), (256, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energies_and_gradient(
    num_scalars: int, hidden: int, num_nodes: int, dtype: torch.dtype
) -> None:
    scalars, first, last, constants, read = make(num_nodes, num_scalars, hidden, dtype)
    expected = in_pytorch(read, first, last, constants)(scalars)
    (gradient,) = torch.autograd.grad(expected.sum(), scalars, materialize_grads=True)
    with torch.no_grad():
        found = read.with_gradient(scalars, first, last, constants)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(found, (expected.detach(), gradient), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        read(scalars, first, last, constants), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("num_nodes", [0, 1, 70])
@pytest.mark.parametrize(("num_scalars", "hidden"), [(13, 17), (256, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_on_energies_and_their_gradients(
    num_scalars: int, hidden: int, num_nodes: int, dtype: torch.dtype
) -> None:
    scalars, first, last, constants, read = make(num_nodes, num_scalars, hidden, dtype)
    weights = [*first.parameters(), *last.parameters()]
    of_energies = torch.randn(5, dtype=torch.float64)
    of_gradient = torch.randn_like(scalars)

    def results(energies_of: Energies) -> tuple[Tensor, ...]:
        energies = energies_of(scalars)
        (gradient,) = torch.autograd.grad(
            energies.sum(), scalars, create_graph=True, materialize_grads=True
        )
        loss = (energies * of_energies).sum() + (gradient * of_gradient).sum()
        by = [scalars, *weights]
        return gradient, *torch.autograd.grad(loss, by, materialize_grads=True)

    found = results(lambda s: read(s, first, last, constants))
    expected = results(in_pytorch(read, first, last, constants))
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-11}[dtype]
    for ours, theirs in zip(found, expected, strict=True):
        bound = tolerance * theirs.abs().max().item() if theirs.numel() else 0
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=bound)


def test_derivatives() -> None:
    """Of first and second order, by invariants and weights."""
    scalars, first, last, constants, read = make(4, 3, 5)
    weights = [*first.parameters(), *last.parameters()]

    def energies(s: Tensor, W: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
        for module, name, tensor in zip(
            (first, first, last, last), ("weight", "bias") * 2, (W, b, v, c), strict=True
        ):
            module._parameters.pop(name, None)
            setattr(module, name, tensor)
        return read(s, first, last, constants)

    assert torch.autograd.gradcheck(energies, (scalars, *weights))
    assert torch.autograd.gradgradcheck(energies, (scalars, *weights))


def test_third_derivatives() -> None:
    scalars, first, last, constants, read = make(3, 2, 4)

    def third(energies_of: Energies) -> tuple[Tensor, ...]:
        (u,) = torch.autograd.grad(energies_of(scalars).square().sum(), scalars, create_graph=True)
        (by_s,) = torch.autograd.grad(u.square().sum(), scalars, create_graph=True)
        return torch.autograd.grad(by_s.square().sum(), [scalars, first.weight, last.weight])

    found = third(lambda s: read(s, first, last, constants))
    torch.testing.assert_close(found, third(in_pytorch(read, first, last, constants)))
