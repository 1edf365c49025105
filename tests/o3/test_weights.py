"""Weights by path, and which components of an output they reach."""

import copy
import itertools
import random

import pytest
import torch
from e3nn import o3 as e3nn

from molnet import o3
from molnet.o3 import ElementwiseTensorProduct, Irreps, Linear, TensorProduct

ENTRIES = ["2x0e", "0x0e", "3x1o", "1x0o", "2x2e", "0x1o"]


@pytest.mark.parametrize("seed", range(10))
def test_the_mask_of_outputs_is_that_of_e3nn(seed):
    rng = random.Random(seed)  # noqa: S311
    irreps_in, irreps_out = (Irreps("+".join(rng.choices(ENTRIES, k=4))) for _ in range(2))
    pairs = [
        (i, o)
        for (i, (_, ir)), (o, (_, ir_out)) in itertools.product(
            enumerate(irreps_in), enumerate(irreps_out)
        )
        if ir == ir_out and rng.random() < 0.6
    ]
    theirs = e3nn.Linear(irreps_in, irreps_out, instructions=pairs)
    ours = Linear(irreps_in, irreps_out, instructions=pairs)
    assert torch.equal(ours.output_mask, theirs.output_mask)

    paths = [(i, 0, o, "uvw", True, rng.choice([0.0, 1.0])) for i, o in pairs]
    theirs = e3nn.TensorProduct(irreps_in, "0e", irreps_out, paths)
    ours = TensorProduct(irreps_in, "0e", irreps_out, paths)
    assert torch.equal(ours.output_mask, theirs.output_mask)
    y = ours(torch.randn(20, irreps_in.dim), torch.randn(20, 1))
    assert torch.equal(y.abs().sum(0) > 0, ours.output_mask > 0)


@pytest.mark.parametrize("seed", range(10))
def test_the_slices_of_weights_are_those_of_e3nn(seed):
    rng = random.Random(seed)  # noqa: S311
    irreps_in, irreps_out = (Irreps("+".join(rng.choices(ENTRIES, k=4))) for _ in range(2))
    options = {"internal_weights": False, "path_normalization": "path"}
    ours = Linear(irreps_in, irreps_out, biases=True, **options)
    theirs = e3nn.Linear(irreps_in, irreps_out, **options)  # with biases it lists them here too
    assert ours.weight_index_slices == theirs.weight_index_slices
    weight = torch.randn(3, ours.weight_numel)
    views = ours.weight_views(weight)
    for (where, shape), view in zip(ours.weight_index_slices, views, strict=True):
        assert torch.equal(weight[..., where].view(3, *shape), view)


def test_the_mask_of_outputs_follows_the_module_and_is_not_saved():
    linear = Linear("0e", "2x0e + 1o").double()
    assert linear.output_mask.dtype == torch.float64
    assert linear.output_mask.tolist() == [1, 1, 0, 0, 0]
    assert "output_mask" not in linear.state_dict()
    assert Linear("0e", "").output_mask.shape == (0,)
    product = ElementwiseTensorProduct("2x1o", "2x0e").double()
    assert product.output_mask.tolist() == [1] * 6
    assert product.output_mask.dtype == torch.float64


def test_a_product_without_weights_holds_none():
    weighted = TensorProduct("2x0e", "2x0e", "2x0e", [(0, 0, 0, "uuu", True)])
    plain = TensorProduct("2x0e", "2x0e", "2x0e", [(0, 0, 0, "uuu", False)])
    assert weighted.internal_weights
    assert not plain.internal_weights
    assert list(plain.parameters()) == []


WITHOUT = [
    ("TensorProduct", ("2x0e", "2x0e", "2x0e", [(0, 0, 0, "uuu", False)]), {}),
    (
        "TensorProduct",
        ("2x0e", "2x0e", "2x0e", [(0, 0, 0, "uuu", True)]),
        {"shared_weights": False},
    ),
    ("FullyConnectedTensorProduct", ("2x0e", "1o", "2x1o"), {"internal_weights": False}),
    ("ElementwiseTensorProduct", ("2x1o", "2x0e"), {}),
    ("FullTensorProduct", ("2x1o", "1o"), {}),
    ("TensorSquare", ("2x1o",), {}),
    ("Linear", ("2x0e", "2x0e"), {"internal_weights": False, "shared_weights": False}),
    ("Linear", ("2x0e", "2x1o"), {"f_in": 2, "f_out": 3}),
]


@pytest.mark.parametrize(("name", "given", "options"), WITHOUT)
def test_weights_that_do_not_exist_are_an_empty_tensor_as_in_e3nn(name, given, options):
    ours, theirs = getattr(o3, name)(*given, **options), getattr(e3nn, name)(*given, **options)
    assert ours.weight.shape == theirs.weight.shape == (0,)
    ours.weight[:] = 1.0
    ours.weight.data.fill_(1.0)
    assert ours.double().weight.dtype == torch.float64
    assert copy.deepcopy(ours).weight.shape == (0,)
    assert list(ours.parameters()) == []
    assert list(ours.state_dict()) == []
    ours.load_state_dict(theirs.state_dict())
    if ours.weight_numel == 0:
        assert list(ours.weight_views()) == []
    else:
        with pytest.raises(ValueError, match="holds no weights: pass the weights to look at"):
            list(ours.weight_views())
        with pytest.raises(ValueError, match="internal_weights=False: pass weights of shape"):
            ours(*(torch.randn(4, irreps.dim).double() for irreps in inputs_of(ours)))


def inputs_of(module):
    return [
        getattr(module, name)
        for name in ("irreps_in", "irreps_in1", "irreps_in2")
        if hasattr(module, name)
    ]
