"""BatchNorm: e3nn's numbers and running averages for all options, mistakes."""

import itertools

import pytest
import torch
from e3nn import nn as e3nn

from molnet.nn import BatchNorm
from molnet.o3 import change_layout

IRREPS = "3x0e + 2x1o + 1x0o + 2x0e + 2x2e"


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.usefixtures("float64")
def test_agrees_with_e3nn(layout):
    for affine, include_bias, instance, reduce, normalization in itertools.product(
        [True, False], [True, False], [True, False], ["mean", "max"], ["component", "norm"]
    ):
        options = {
            "affine": affine,
            "include_bias": include_bias,
            "instance": instance,
            "reduce": reduce,
            "normalization": normalization,
            "momentum": 0.3,
        }
        theirs = e3nn.BatchNorm(IRREPS, **options)
        ours = BatchNorm(IRREPS, **options, layout=layout)
        for parameter in theirs.parameters():
            torch.nn.init.normal_(parameter)
        ours.load_state_dict(theirs.state_dict())
        assert repr(ours) == repr(theirs)
        for shape in [(5,), (5, 3), (5, 3, 2)]:
            x = 2 * torch.randn(*shape, ours.irreps.dim) + 1
            y = ours(change_layout(x, IRREPS, "mul_ir", layout))
            y = change_layout(y, IRREPS, layout, "mul_ir")
            torch.testing.assert_close(y, theirs(x), atol=1e-12, rtol=1e-12)
            assert ours.state_dict().keys() == theirs.state_dict().keys()
            for key, value in theirs.state_dict().items():
                torch.testing.assert_close(ours.state_dict()[key], value, atol=1e-12, rtol=1e-12)


def test_evaluation_uses_the_running_averages():
    norm = BatchNorm("2x0e + 2x1o", momentum=1.0)
    x = 3 * torch.randn(1000, 8) + 2
    y = norm(x)
    torch.testing.assert_close(norm.eval()(x), y)
    torch.testing.assert_close(norm(x[:1]), y[:1])


def test_an_empty_batch_changes_no_average():
    norm = BatchNorm("2x0e + 2x1o")
    assert norm(torch.empty(0, 8)).shape == (0, 8)
    assert norm.running_var.tolist() == [1] * 4
    assert BatchNorm("")(torch.empty(5, 0)).shape == (5, 0)


def test_mistakes():
    with pytest.raises(ValueError, match=r"reduce must be one of .* got 'sum'"):
        BatchNorm(IRREPS, reduce="sum")
    with pytest.raises(ValueError, match="normalization must be one of"):
        BatchNorm(IRREPS, normalization="none")
    with pytest.raises(ValueError, match="needs a batch axis"):
        BatchNorm("2x0e")(torch.randn(2))
    with pytest.raises(ValueError, match=r"features of BatchNorm must have shape \[\.\.\., 2\]"):
        BatchNorm("2x0e")(torch.randn(4, 3))
