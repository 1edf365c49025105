"""The compiled sum of energies of atoms, against PyTorch."""

import pytest
import torch

from molnet.kernels import read_out
from molnet.kernels.compiler import library

pytestmark = pytest.mark.skipif(library("double") is None, reason="there is no C++ compiler")


@pytest.mark.parametrize("num_nodes", [0, 1, 70])
@pytest.mark.parametrize(("num_scalars", "hidden"), [(1, 16), (13, 17), (256, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energies_and_gradient(
    num_scalars: int, hidden: int, num_nodes: int, dtype: torch.dtype
) -> None:
    first = torch.nn.Linear(num_scalars, hidden, dtype=dtype)
    last = torch.nn.Linear(hidden, 1, dtype=dtype)
    scalars = (3 * torch.randn(num_nodes, num_scalars, dtype=dtype)).requires_grad_()
    constants = 1000 * torch.randn(num_nodes, dtype=torch.float64)
    structures = torch.randint(4, (num_nodes,))
    read = 0.3 * last(torch.nn.functional.silu(first(scalars))).squeeze(1)
    expected = constants.new_zeros(5).index_add(0, structures, read.double() + constants)
    (gradient,) = torch.autograd.grad(expected.sum(), scalars, materialize_grads=True)
    with torch.no_grad():
        found = read_out(scalars, first, last, 0.3, constants, structures, 5)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(found, (expected.detach(), gradient), rtol=tolerance, atol=tolerance)
