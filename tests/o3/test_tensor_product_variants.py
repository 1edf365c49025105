"""The named tensor products: e3nn's numbers, weights and printed forms for random irreps."""

import random
from typing import Any

import pytest
import torch
from e3nn import o3 as e3nn

from molnet import o3
from molnet.o3 import Irreps, change_layout


def random_irreps(rng: random.Random, num_irreps: int | None = None) -> Irreps:
    """Irreps without empty entries (e3nn fails on them here); ``num_irreps`` in all, if given."""
    entries = [
        (rng.randint(1, 3), (rng.randint(0, 2), rng.choice([1, -1])))
        for _ in range(rng.randint(1, 3))
    ]
    missing = 0 if num_irreps is None else num_irreps - sum(mul for mul, _ in entries)
    if missing < 0:
        return random_irreps(rng, num_irreps)
    return Irreps([*entries, *([(missing, (1, -1))] if missing > 0 else [])])


def random_arguments(name: str, rng: random.Random) -> tuple[list[Irreps], tuple[Any, ...]]:
    """Irreps of the inputs and further arguments."""
    in1, out = random_irreps(rng), random_irreps(rng)
    keep = rng.choice([None, ["0e", "1o"], ["1e", "0o", "2e"]])
    match name:
        case "FullyConnectedTensorProduct":
            return [in1, random_irreps(rng)], (out,)
        case "ElementwiseTensorProduct":
            return [in1, random_irreps(rng, in1.num_irreps)], (keep,)
        case "FullTensorProduct":
            return [in1, random_irreps(rng)], (keep,)
        case "TensorSquare":
            return [in1], rng.choice([(None, keep), (out,)])
    raise AssertionError(name)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(
    "name",
    [
        "FullyConnectedTensorProduct",
        "ElementwiseTensorProduct",
        "FullTensorProduct",
        "TensorSquare",
    ],
)
@pytest.mark.usefixtures("float64")
def test_agrees_with_e3nn(name, layout):
    compared = 0
    for seed in range(15):
        rng = random.Random(seed)  # noqa: S311
        irreps, further = random_arguments(name, rng)
        options = {"irrep_normalization": rng.choice(["component", "norm", "none"])}
        ours = getattr(o3, name)(*irreps, *further, **options, layout=layout)
        if not any(0 not in path.path_shape for path in ours.instructions):
            continue  # fails in e3nn
        theirs = getattr(e3nn, name)(*irreps, *further, **options)
        ours.load_state_dict(theirs.state_dict())
        assert repr(ours) == repr(theirs)
        assert str(ours.irreps_out) == str(theirs.irreps_out)
        xs = [ir.randn(4, -1) for ir in irreps]
        y = ours(
            *(change_layout(x, ir, "mul_ir", layout) for x, ir in zip(xs, irreps, strict=True))
        )
        y = change_layout(y, ours.irreps_out, layout, "mul_ir")
        torch.testing.assert_close(y, theirs(*xs), atol=1e-12, rtol=1e-12)
        compared += 1
    assert compared > 8


def test_inputs_are_laid_out_as_the_irreps_given():
    """In ir_mul, 10x1e and 5x1e+5x1e differ; entries are cut and merged inside."""
    x, y = torch.randn(2, 3, 30)
    for in1, in2 in [("5x1o + 5x1e", "10x1e"), ("2x1o + 3x1o + 5x1e", "4x1e + 6x1e")]:
        reference = o3.ElementwiseTensorProduct(in1, in2)
        product = o3.ElementwiseTensorProduct(in1, in2, layout="ir_mul")
        z = product(
            change_layout(x, in1, "mul_ir", "ir_mul"), change_layout(y, in2, "mul_ir", "ir_mul")
        )
        z = change_layout(z, product.irreps_out, "ir_mul", "mul_ir")
        torch.testing.assert_close(z, reference(x, y))


def test_second_moments_are_one():
    x, y = torch.randn(2, 200_000, 6)
    for product, arguments in [
        (o3.FullTensorProduct("2x1o", "2x1o"), (x, y)),
        (o3.ElementwiseTensorProduct("2x1o", "2x1o"), (x, y)),
        (o3.TensorSquare("2x1o"), (x,)),
    ]:
        moments = product(*arguments).square().mean(0)
        for moment in moments.split([entry.dim for entry in product.irreps_out]):
            assert moment.mean().item() == pytest.approx(1, abs=0.03)


def test_mistakes():
    with pytest.raises(ValueError, match="equally many irreps in both inputs, got 5 in 5x1o and 6"):
        o3.ElementwiseTensorProduct("5x1o", "6x0e")
    with pytest.raises(ValueError, match="not both"):
        o3.TensorSquare("2x1o", "0e", ["0e"])
    with pytest.raises(ValueError, match="irrep_normalization must be"):
        o3.TensorSquare("2x1o", irrep_normalization="components")
    with pytest.raises(TypeError, match="quadratic"):
        o3.TensorSquare("2x1o").right(torch.randn(6))
