"""Gate: e3nn's numbers for random irreps, order and parity, mistakes."""

import random

import pytest
import torch
from e3nn import nn as e3nn

from molnet.nn import Gate
from molnet.o3 import Irreps, change_layout

silu, tanh, sigmoid = torch.nn.functional.silu, torch.tanh, torch.sigmoid


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.usefixtures("float64")
def test_agrees_with_e3nn(layout):
    for seed in range(20):
        rng = random.Random(seed)  # noqa: S311
        gated = Irreps(
            [
                (rng.randint(i == 0, 3), (rng.randint(0, 2), rng.choice([1, -1])))
                for i in range(rng.randint(1, 5))
            ]
        )
        even = rng.randint(0, gated.num_irreps)
        gates = f"{even}x0e + {gated.num_irreps - even}x0o"
        scalars = f"{rng.randint(1, 3)}x0e + {rng.randint(0, 2)}x0o"
        arguments = (scalars, [silu, tanh], gates, [sigmoid, rng.choice([tanh, torch.abs])], gated)
        theirs, ours = e3nn.Gate(*arguments), Gate(*arguments, layout=layout)
        ours.load_state_dict(theirs.state_dict())
        assert repr(ours) == repr(theirs)
        assert str(ours.irreps_in) == str(theirs.irreps_in)
        assert str(ours.irreps_out) == str(theirs.irreps_out)
        x = torch.randn(4, 2, ours.irreps_in.dim)
        y = ours(change_layout(x, ours.irreps_in, "mul_ir", layout))
        y = change_layout(y, ours.irreps_out, layout, "mul_ir")
        torch.testing.assert_close(y, theirs(x), atol=1e-12, rtol=1e-12)


def test_the_example_of_the_documentation():
    gate = Gate("1x0e", [tanh], "1x0e", [sigmoid], "1x1o")
    assert str(gate.irreps_in) == "2x0e+1x1o"
    assert str(gate.irreps_out) == "1x0e+1x1o"
    y = gate(torch.tensor([0.5, -1.0, 1, 2, 3]))
    assert y.shape == (4,)
    assert y[0].item() == pytest.approx(1.5937 * torch.tensor(0.5).tanh().item(), abs=1e-4)
    factor = 1.8467 * torch.tensor(-1.0).sigmoid()
    torch.testing.assert_close(y[1:], factor * torch.tensor([1.0, 2, 3]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_odd_gates_change_parity(layout):
    gate = Gate("16x0o", [tanh], "32x0o", [tanh], "16x1e + 16x1o", layout=layout)
    assert str(gate.irreps_out) == "16x0o+16x1o+16x1e"
    only_scalars = Gate("2x0e", [silu], "", [], "", layout=layout)
    assert only_scalars(torch.randn(3, 2)).shape == (3, 2)
    only_gated = Gate("", [], "2x0e", [sigmoid], "2x1o", layout=layout)
    assert only_gated(torch.randn(3, 8)).shape == (3, 6)
    assert Gate("", [], "", [], "", layout=layout)(torch.randn(3, 0)).shape == (3, 0)


def test_mistakes():
    with pytest.raises(ValueError, match=r"irreps_gates must hold scalars .* got 2x1o"):
        Gate("1x0e", [tanh], "2x1o", [sigmoid], "2x1o")
    with pytest.raises(ValueError, match="irreps_gated=3x1o has 3 irreps, irreps_gates=2x0e has 2"):
        Gate("1x0e", [tanh], "2x0e", [sigmoid], "3x1o")
    with pytest.raises(ValueError, match="sigmoid has no parity"):
        Gate("1x0e", [tanh], "2x0o", [sigmoid], "2x1o")
    with pytest.raises(ValueError, match="layout must be one of"):
        Gate("1x0e", [tanh], "", [], "", layout="mul")
    with pytest.raises(ValueError, match=r"features of Gate must have shape \[\.\.\., 5\]"):
        Gate("1x0e", [tanh], "1x0e", [sigmoid], "1x1o")(torch.randn(7, 4))
