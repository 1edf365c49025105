"""The compiled gate against the same in plain PyTorch, to third order."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from molnet.kernels.compiler import library
from molnet.kernels.gate import CompiledGate
from molnet.nn import Gate

pytestmark = pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")

GATES = {
    "usual": (("8x0e", [silu], "16x0e", [torch.sigmoid], "8x1o+8x2e"), True),
    "odd numbers": (("3x0e+5x0o", [silu, torch.tanh], "6x0e", [torch.sigmoid], "4x1o+2x3e"), True),
    "gates of both parities": (
        ("2x0e", [None], "3x0e+4x0o", [torch.sigmoid, torch.tanh], "5x1o+2x1e"),
        True,
    ),
    "no scalars": (("", [], "2x0e", [torch.sigmoid], "2x1o"), True),
    "a function of the user's": (("2x0e", [torch.cos], "", [], ""), False),
}


def make(name: str) -> tuple[Gate, bool]:
    arguments, compiles = GATES[name]
    return Gate(*arguments, layout="ir_mul"), compiles


@pytest.mark.parametrize("name", GATES)
def test_known_functions_are_compiled(name: str) -> None:
    gate, compiles = make(name)
    assert isinstance(gate.as_step(), CompiledGate) == compiles


@pytest.mark.parametrize("name", [name for name, (_, compiles) in GATES.items() if compiles])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_pytorch_to_third_order(name: str, dtype: torch.dtype) -> None:
    gate, _ = make(name)
    x = (3 * torch.randn(11, gate.irreps_in.dim, dtype=dtype)).requires_grad_()
    tolerance = 5e-5 if dtype == torch.float32 else 1e-11

    def derivatives(function: object) -> list[Tensor]:
        torch.manual_seed(1)
        found = [function(x)]  # type: ignore[operator]
        for _ in range(3):
            scalar = (found[-1] * torch.rand_like(found[-1])).sin().sum()
            found += torch.autograd.grad(scalar, [x], create_graph=True)
        return found

    for ours, expected in zip(derivatives(gate), derivatives(gate._in_pytorch), strict=True):
        scale = max(float(expected.detach().abs().max()), 1.0)
        torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * scale)


def test_numbers_beyond_the_range_of_the_exponential() -> None:
    gate = Gate("4x0e", [silu], "4x0e", [torch.sigmoid], "4x1o", layout="ir_mul")
    for dtype in (torch.float32, torch.float64):
        x = torch.full((2, gate.irreps_in.dim), 1e4, dtype=dtype)
        for sign in (1, -1):
            found, expected = gate(sign * x), gate._in_pytorch(sign * x)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_nan_stays_nan() -> None:
    gate = Gate("8x0e", [silu], "8x0e", [torch.sigmoid], "8x1o", layout="ir_mul")
    assert gate(torch.full((1, gate.irreps_in.dim), torch.nan)).isnan().all()
