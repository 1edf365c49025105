"""Activation: second moments, parity, e3nn's constants, mistakes."""

import pytest
import torch
from e3nn import math as e3nn_math
from e3nn import nn as e3nn

from molnet.nn import Activation, normalize2mom

silu = torch.nn.functional.silu
FUNCTIONS = [torch.tanh, torch.sigmoid, torch.relu, torch.abs, silu, torch.nn.functional.softplus]


@pytest.mark.parametrize("f", [*FUNCTIONS, torch.nn.SiLU(), torch.nn.GELU()], ids=repr)
def test_constants_are_those_of_e3nn(f):
    theirs = e3nn_math.normalize2mom(f)
    x = torch.randn(100, dtype=torch.float64)
    torch.testing.assert_close(normalize2mom(f)(x), theirs(x), atol=1e-14, rtol=1e-14)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_second_moment_is_one(f):
    z = torch.randn(1_000_000, dtype=torch.float64)
    assert normalize2mom(f)(z).square().mean().item() == pytest.approx(1, abs=0.01)


def test_what_is_normalized_is_left_alone():
    assert normalize2mom(normalize2mom(torch.tanh)).cst == 1.0


def test_functions_with_parameters():
    act = Activation("4x0e", [torch.nn.PReLU()])
    (slope,) = act.parameters()
    act(torch.randn(10, 4)).sum().backward()
    assert slope.grad.abs() > 0
    assert "PReLU" in repr(act.acts[0])


@pytest.mark.parametrize(
    ("irreps", "acts", "expected"),
    [
        ("3x0o", [torch.tanh], "3x0o"),
        ("3x0o", [torch.abs], "3x0e"),
        ("3x0e", [torch.tanh], "3x0e"),
        ("3x0e + 0x0o + 2x1o", [silu, torch.cos, None], "3x0e + 0x0e + 2x1o"),
    ],
)
def test_parity(irreps, acts, expected):
    act = Activation(irreps, acts)
    theirs = e3nn.Activation(irreps, acts)
    assert str(act.irreps_out) == str(theirs.irreps_out) == expected.replace(" ", "")
    assert repr(act) == repr(theirs)


def test_runs_of_one_function_are_evaluated_at_once():
    calls = []

    def f(x):
        calls.append(x.shape)
        return x.tanh()

    act = Activation("2x0e + 3x0o + 1x1o + 2x0o", [f, f, None, f])
    calls.clear()
    x = torch.randn(4, 10)
    y = act(x)
    assert calls == [(4, 5), (4, 2)]
    torch.testing.assert_close(y[:, 5:8], x[:, 5:8])
    torch.testing.assert_close(y[:, :5], x[:, :5].tanh() * act.acts[0].cst)


def test_mistakes():
    with pytest.raises(ValueError, match=r"(?s)silu has no parity: .* odd scalars 2x0o.*tanh"):
        Activation("1x0e + 2x0o", [silu, silu])
    with pytest.raises(ValueError, match="acts on scalars alone, but tanh was given for 2x1o"):
        Activation("2x1o", [torch.tanh])
    with pytest.raises(ValueError, match=r"each of the 2 entries .* got 1"):
        Activation("0e + 1o", [torch.tanh])
    with pytest.raises(ValueError, match=r"features of Activation must have shape \[\.\.\., 3\]"):
        Activation("3x0e", [torch.tanh])(torch.randn(5, 4))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -3])
def test_features_on_any_axis(dim):
    irreps, acts = "2x0e + 1x1o + 1x0o", [torch.nn.functional.silu, None, torch.tanh]
    x = torch.randn(6, 6, 6)
    expected = e3nn.Activation(irreps, acts)(x, dim)
    torch.testing.assert_close(Activation(irreps, acts)(x, dim), expected)
    with pytest.raises(ValueError, match=r"\[\.\.\., 6\]"):
        Activation(irreps, acts)(torch.randn(5, 6, 4), 0)
