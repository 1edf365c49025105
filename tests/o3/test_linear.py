"""Linear: e3nn's numbers and weights for random irreps and options, edge cases, mistakes."""

import random

import pytest
import torch
from e3nn import o3 as e3nn

from molnet.o3 import Irreps, Linear, change_layout

SILENT_ENTRIES = ["", "0e", "3x1o", "2x0e + 0x1o", "0x0e"]


def random_irreps(rng: random.Random, most: int = 4) -> str:
    entries = rng.randint(0, most)
    return " + ".join(
        f"{rng.randint(0, 4)}x{rng.randint(0, 2)}{rng.choice('eo')}" for _ in range(entries)
    )


def random_case(seed: int) -> tuple[str, str, dict]:
    """Irreps and options that e3nn takes: it fails on biases of outputs that nothing reaches."""
    rng = random.Random(seed)  # noqa: S311
    irreps_in, irreps_out = random_irreps(rng), random_irreps(rng)
    options: dict = {"path_normalization": rng.choice(["element", "path"])}
    if rng.random() < 0.3:
        options |= {"f_in": 3, "f_out": 2}
    if rng.random() < 0.3:
        pairs = [
            (i, o)
            for i, (_, ir) in enumerate(Irreps(irreps_in))
            for o, (_, ir_out) in enumerate(Irreps(irreps_out))
            if ir == ir_out and rng.random() < 0.7
        ]
        options["instructions"] = pairs
    reached = Irreps(irreps_in).remove_zero_multiplicities()
    options["biases"] = [
        ir.is_scalar() and mul > 0 and ir in reached and "instructions" not in options
        for mul, ir in Irreps(irreps_out)
    ]
    return irreps_in, irreps_out, options


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("weights", ["internal", "shared", "own"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_e3nn(layout, weights, dtype):
    options_of = {
        "internal": {},
        "shared": {"internal_weights": False},
        "own": {"shared_weights": False},
    }
    for seed in range(25):
        irreps_in, irreps_out, options = random_case(seed)
        options |= options_of[weights]
        if weights == "own":
            options["biases"] = False  # own biases fail in e3nn
        theirs = e3nn.Linear(irreps_in, irreps_out, **options).to(dtype)
        ours = Linear(irreps_in, irreps_out, **options, layout=layout).to(dtype)
        torch.nn.init.normal_(theirs.bias)
        ours.load_state_dict(theirs.state_dict())
        assert ours.weight_numel == theirs.weight_numel
        assert ours.bias_numel == theirs.bias_numel
        assert repr(ours) == repr(theirs)

        f_in, f_out = options.get("f_in"), options.get("f_out")
        batch = (5,) if f_in is None else (5, f_in)
        x = torch.randn(*batch, ours.irreps_in.dim, dtype=dtype)
        given = []
        if weights != "internal":
            own = (5,) if weights == "own" else ()
            axes = own if f_in is None else (*own, f_in, f_out)
            given.append(torch.randn(*axes, ours.weight_numel, dtype=dtype))
            axes = own if f_in is None else (*own, f_out)
            given.append(torch.randn(*axes, ours.bias_numel, dtype=dtype))
        y = ours(change_layout(x, irreps_in, "mul_ir", layout), *given)
        y = change_layout(y, irreps_out, layout, "mul_ir")
        tolerance = 1e-12 if dtype == torch.float64 else 1e-4
        torch.testing.assert_close(y, theirs(x, *given), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_own_weights_and_biases_are_those_of_each_element(layout):
    own = Linear("3x0e + 2x1o", "2x0e + 1x1o", shared_weights=False, biases=True, layout=layout)
    shared = Linear(
        "3x0e + 2x1o", "2x0e + 1x1o", internal_weights=False, biases=True, layout=layout
    )
    x = torch.randn(4, 1, 9)
    weight, bias = torch.randn(4, 6, own.weight_numel), torch.randn(4, 6, own.bias_numel)
    y = own(x, weight, bias)
    assert y.shape == (4, 6, 5)
    for i in range(4):
        for j in range(6):
            torch.testing.assert_close(y[i, j], shared(x[i, 0], weight[i, j], bias[i, j]))


def test_the_example_of_the_documentation():
    linear = Linear("0e + 1o", "2x0e + 2x1o")
    assert repr(linear) == "Linear(1x0e+1x1o -> 2x0e+2x1o | 4 weights)"
    assert linear(torch.randn(10, 4)).shape == (10, 8)
    assert linear.weight_numel == 4


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_repeated_irreps_are_one_matrix_product(layout):
    """A Linear over cut entries is that over whole ones, up to the normalisation."""
    cut = Linear("3x0e + 2x1o + 4x0e + 5x1o", "2x1o + 2x0e + 1x1o", layout=layout)
    assert len(cut._groups) == 2
    whole = Linear("7x0e + 7x1o", "2x0e + 3x1o")
    views = {(path.i_in, path.i_out): view for _, path, view in cut.weight_views(None, True)}
    with torch.no_grad():
        scalars, vectors = whole.weight_views()
        scalars.copy_(torch.cat([views[0, 1], views[2, 1]]))
        rows = [torch.cat([views[i, 0], views[i, 2]], 1) for i in (1, 3)]
        vectors.copy_(torch.cat(rows))
    flat = [torch.randn(6, mul * dim) for mul, dim in ((3, 1), (2, 3), (4, 1), (5, 3))]
    x = change_layout(torch.cat(flat, -1), cut.irreps_in, "mul_ir", layout)
    y = change_layout(cut(x), cut.irreps_out, layout, "mul_ir").split([6, 2, 3], -1)
    expected = whole(torch.cat([flat[0], flat[2], flat[1], flat[3]], -1)).split([2, 9], -1)
    torch.testing.assert_close(y[1], expected[0])
    torch.testing.assert_close(torch.cat([y[0], y[2]], -1), expected[1])


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("irreps_out", SILENT_ENTRIES)
@pytest.mark.parametrize("irreps_in", SILENT_ENTRIES)
def test_empty_irreps_and_batches(irreps_in, irreps_out, layout):
    linear = Linear(irreps_in, irreps_out, biases=True, layout=layout)
    for batch in [(), (3,), (0,), (2, 0, 3)]:
        y = linear(torch.randn(*batch, linear.irreps_in.dim))
        assert y.shape == (*batch, linear.irreps_out.dim)
    unreached = Linear("1o", "2x0e", biases=True, layout=layout)
    with torch.no_grad():
        unreached.bias.copy_(torch.tensor([1.0, 2.0]))
    assert unreached(torch.randn(3)).tolist() == [1, 2]


def test_unit_variance_in_and_out():
    linear = Linear("64x0e + 32x1o + 32x1o + 64x0e", "500x0e + 500x1o", path_normalization="path")
    y = linear(torch.randn(2000, linear.irreps_in.dim))
    assert y[:, :500].var().item() == pytest.approx(1, abs=0.1)
    assert y[:, 500:].var().item() == pytest.approx(1, abs=0.1)


def test_the_same_seed_gives_the_same_weights():
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(Linear("2x0e + 1o", "3x0e + 2x1o").weight)
    assert torch.equal(*drawn)


def test_views_of_weights():
    linear = Linear("2x0e + 3x1o", "4x0e + 5x1o")
    first, second = linear.weight_views()
    assert first.shape == (2, 4)
    assert second.shape == (3, 5)
    assert torch.equal(linear.weight_view_for_instruction(1), second)
    with torch.no_grad():
        second.zero_()
    assert linear(torch.randn(11)).split([4, 15])[1].abs().max() == 0
    (index, path, view), _ = linear.weight_views(yield_instruction=True)
    assert (index, path.path_shape, view.shape) == (0, (2, 4), (2, 4))
    given = torch.randn(7, linear.weight_numel)
    assert linear.weight_view_for_instruction(1, given).shape == (7, 3, 5)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("0e", "1o"), {"instructions": [(0, 0)]}, ValueError, "only between equal irreps"),
        (("0e", "0e"), {"instructions": [(1, 0)]}, IndexError, "entry 1 of irreps_in"),
        (("0e", "0e"), {"instructions": [(0, -1)]}, IndexError, "entry -1 of irreps_out"),
        (("0e", "0e"), {"path_normalization": "none"}, ValueError, "got 'none'"),
        (("0e", "0e"), {"layout": "mulir"}, ValueError, "layout must be one of"),
        (("0e", "0e"), {"f_in": 3}, ValueError, "both f_in and f_out"),
        (("0e", "0e+1o"), {"biases": [True]}, ValueError, "each of the 2 entries"),
        (("0e", "0o"), {"biases": [True]}, ValueError, "break the symmetry"),
        (
            ("0e", "0e"),
            {"shared_weights": False, "internal_weights": True},
            ValueError,
            "shared_weights=True",
        ),
    ],
)
def test_mistakes_on_construction(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Linear(*arguments, **options)


def test_mistakes_on_call():
    linear = Linear("0e + 1o", "2x0e + 2x1o", internal_weights=False, biases=True)
    x = torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"pass weights of shape \[4\]"):
        linear(x)
    with pytest.raises(ValueError, match=r"\[\.\.\., 4\], got \[5\]"):
        linear(x, torch.randn(5))
    with pytest.raises(ValueError, match=r"biases of shape \[\.\.\., 2\], got none"):
        linear(x, torch.randn(4))
    with pytest.raises(ValueError, match=r"shape \[\.\.\., 4\].*got \[5, 3\]"):
        linear(x[:, :3], torch.randn(4), torch.randn(2))
    with pytest.raises(ValueError, match="holds no weights"):
        linear.weight_view_for_instruction(0)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        linear.load_state_dict(Linear("0e + 1o", "2x0e + 2x1o").state_dict())
