"""TensorProduct: e3nn's numbers and weights for random paths of all modes, edge cases, mistakes."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
from e3nn import o3 as e3nn

from molnet.o3 import Irreps, TensorProduct, change_layout, wigner_3j
from molnet.o3.tensor_product_variants import FullyConnectedTensorProduct

MODES = ["uvw", "uvu", "uvv", "uuw", "uuu", "uvuv", "uvu<v", "u<vw"]


def random_irreps(rng: random.Random) -> Irreps:
    return Irreps(
        [
            (rng.choice([0, 1, 1, 2, 3]), (rng.randint(0, 2), rng.choice([1, -1])))
            for _ in range(rng.randint(1, 3))
        ]
    )


def random_paths(rng: random.Random) -> tuple[Irreps, Irreps, Irreps, list[tuple[Any, ...]]]:
    """Two inputs, paths between them in random modes, and the output that these lead to."""
    in1, in2 = random_irreps(rng), random_irreps(rng)
    entries: list[tuple[int, Any]] = []
    paths: list[tuple[Any, ...]] = []
    for _ in range(rng.randint(1, 8)):
        i_1, i_2 = rng.randrange(len(in1)), rng.randrange(len(in2))
        mode = rng.choice(MODES)
        (u, ir_1), (v, ir_2) = in1[i_1], in2[i_2]
        if mode in ("uuw", "uuu", "uvu<v", "u<vw") and u != v:
            continue
        weighted = rng.random() < 0.5 or mode in ("uvw", "u<vw")
        w = rng.randint(0, 3)
        mul = {
            "uvw": w,
            "uvu": u,
            "uvv": v,
            "uuw": w if weighted else 1,
            "uuu": u,
            "uvuv": u * v,
            "uvu<v": u * (u - 1) // 2,
            "u<vw": w,
        }[mode]
        entry = (mul, rng.choice(ir_1 * ir_2))
        if entry not in entries or rng.random() < 0.4:
            entries.append(entry)
        i_out = rng.choice([i for i, other in enumerate(entries) if other == entry])
        path_weight = (rng.choice([0.5, 2.0]),) if rng.random() < 0.3 else ()
        paths.append((i_1, i_2, i_out, mode, weighted, *path_weight))
    return in1, in2, Irreps(entries), paths


def random_options(rng: random.Random, in1: Irreps, in2: Irreps, out: Irreps) -> dict[str, Any]:
    options: dict[str, Any] = {
        "irrep_normalization": rng.choice(["component", "norm", "none"]),
        "path_normalization": rng.choice(["element", "path", "none"]),
    }
    for name, irreps in (("in1_var", in1), ("in2_var", in2), ("out_var", out)):
        if rng.random() < 0.3:
            options[name] = [rng.uniform(0.1, 2) for _ in irreps]
    weights = rng.choice(["internal", "shared", "own"])
    if weights == "shared":
        options["internal_weights"] = False
    elif weights == "own":
        options["shared_weights"] = False
    return options


@pytest.mark.usefixtures("float64")
def test_agrees_with_e3nn():
    compared = Counter()
    for seed in range(100):
        rng = random.Random(seed)  # noqa: S311
        in1, in2, out, paths = random_paths(rng)
        options = random_options(rng, in1, in2, out)
        x, y = in1.randn(4, 1, -1), in2.randn(3, -1)
        with_right = not any("<" in path[3] for path in paths) and out.dim > 0
        try:
            theirs = e3nn.TensorProduct(in1, in2, out, paths, **options, compile_right=with_right)
            given = []
            if theirs.weight_numel > 0 and not theirs.internal_weights:
                batch = () if theirs.shared_weights else (4, 3)
                given = [torch.randn(*batch, theirs.weight_numel)]
            expected = theirs(x, y, *given)
        except IndexError:  # e3nn fails on some paths without weights
            continue
        compared.update((path[3], path[4]) for path in paths)
        for layout in ("mul_ir", "ir_mul"):
            ours = TensorProduct(in1, in2, out, paths, **options, layout=layout)
            ours.load_state_dict(theirs.state_dict())
            assert repr(ours) == repr(theirs)
            assert ours.weight_numel == theirs.weight_numel
            for path, their_path in zip(ours.instructions, theirs.instructions, strict=True):
                assert path.path_weight == pytest.approx(their_path.path_weight, rel=1e-14)
                assert path._replace(path_weight=0) == their_path._replace(path_weight=0)
            arranged = [change_layout(t, ir, "mul_ir", layout) for t, ir in ((x, in1), (y, in2))]
            z = change_layout(ours(*arranged, *given), out, layout, "mul_ir")
            torch.testing.assert_close(z, expected, atol=1e-12, rtol=1e-12)
        if with_right and theirs.shared_weights:
            ours = TensorProduct(in1, in2, out, paths, **options)
            ours.load_state_dict(theirs.state_dict())
            B = ours.right(y, *given)
            torch.testing.assert_close(B, theirs.right(y, *given), atol=1e-12, rtol=1e-12)
    unweighted = [mode for mode in MODES if mode not in ("uvw", "u<vw")]
    assert all(compared[mode, True] >= 4 for mode in MODES), compared
    assert all(compared[mode, False] >= 4 for mode in unweighted), compared


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_its_formula(mode, layout):
    """Against a direct sum over all indices, with weights for each element of the batch."""
    u, v, w = (3, 3, 2) if "<" in mode or mode.startswith("uu") else (3, 2, 4)
    pairs = [(a, b) for a in range(u) for b in range(a + 1, u)]
    w = {"uvu": u, "uvv": v, "uuu": u, "uvuv": u * v, "uvu<v": len(pairs)}.get(mode, w)
    product = TensorProduct(
        f"{u}x1o",
        f"{v}x2e",
        f"{w}x2o",
        [(0, 0, 0, mode, True)],
        irrep_normalization="none",
        path_normalization="none",
        shared_weights=False,
        layout=layout,
    )
    x, y = torch.randn(5, u, 3), torch.randn(5, v, 5)
    W = torch.randn(5, product.weight_numel)
    xy = torch.einsum("zui,zvj,ijk->zuvk", x, y, wigner_3j(1, 2, 2))
    shaped = W.view(5, *product.instructions[0].path_shape)
    expected = {
        "uvw": lambda: torch.einsum("zuvw,zuvk->zwk", shaped, xy),
        "uvu": lambda: torch.einsum("zuv,zuvk->zuk", shaped, xy),
        "uvv": lambda: torch.einsum("zuv,zuvk->zvk", shaped, xy),
        "uuw": lambda: torch.einsum("zuw,zuuk->zwk", shaped, xy),
        "uuu": lambda: torch.einsum("zu,zuuk->zuk", shaped, xy),
        "uvuv": lambda: torch.einsum("zuv,zuvk->zuvk", shaped, xy),
        "uvu<v": lambda: torch.stack(
            [W[:, q, None] * xy[:, a, b] for q, (a, b) in enumerate(pairs)], 1
        ),
        "u<vw": lambda: sum(
            torch.einsum("zw,zk->zwk", shaped[:, q], xy[:, a, b]) for q, (a, b) in enumerate(pairs)
        ),
    }[mode]()
    arranged = [
        change_layout(t.flatten(1), irreps, "mul_ir", layout)
        for t, irreps in ((x, product.irreps_in1), (y, product.irreps_in2))
    ]
    z = change_layout(product(*arranged, W), product.irreps_out, layout, "mul_ir")
    torch.testing.assert_close(z, expected.flatten(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(
    ("in1", "in2", "out", "order"),
    [
        ("2x2e", "9x1o", "2x1o", "contract second"),
        ("9x1o", "2x2e", "2x1o", "contract first"),
        ("3x0e", "9x2e", "9x2e", "contract first"),
        ("9x1o", "2x0e", "40x1o", "u with v"),
        ("9x2e", "1x1o", "9x1o", "u with v"),
        ("9x1o", "9x1o", "9x0e", "u with v"),
        ("40x1o", "1x1o", "9x2e", "contract first"),
        ("1x1o", "40x1o", "9x2e", "contract second"),
    ],
)
def test_every_order_of_evaluation_is_the_same_sum(in1, in2, out, order, layout):
    product = TensorProduct(in1, in2, out, [(0, 0, 0, "uvw", True)], layout=layout)
    (group,) = product._groups
    assert group.operands == order
    (path,) = product.instructions
    (u, ir_1), (v, ir_2), (_, ir_out) = Irreps(in1)[0], Irreps(in2)[0], Irreps(out)[0]
    x, y = torch.randn(5, u, ir_1.dim), torch.randn(5, v, ir_2.dim)
    C = path.path_weight * wigner_3j(ir_1.l, ir_2.l, ir_out.l)
    weight = product.weight.view(path.path_shape)
    expected = torch.einsum("uvw,ijk,zui,zvj->zwk", weight, C, x, y).flatten(1)
    z = product(
        change_layout(x.flatten(1), in1, "mul_ir", layout),
        change_layout(y.flatten(1), in2, "mul_ir", layout),
    )
    torch.testing.assert_close(change_layout(z, out, layout, "mul_ir"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_right_is_the_map_of_the_first_input(layout):
    product = FullyConnectedTensorProduct(
        "2x0e + 2x1o", "0e + 3x1o", "2x0e + 1e", shared_weights=False, layout=layout
    )
    x, y = torch.randn(4, 8), torch.randn(4, 10)
    W = torch.randn(4, product.weight_numel)
    B = product.right(y, W)
    assert B.shape == (4, 8, 5)
    torch.testing.assert_close(torch.einsum("zi,zik->zk", x, B), product(x, y, W))


def test_weights_path_by_path():
    paths = [(0, 0, 0, "uuu", False), (0, 0, 1, "uvw", True), (0, 0, 0, "uuu", True)]
    product = TensorProduct("3x1o", "3x1o", "3x0e + 2x1e", paths)
    views = {index: view for index, _, view in product.weight_views(yield_instruction=True)}
    assert {index: tuple(view.shape) for index, view in views.items()} == {1: (3, 3, 2), 2: (3,)}
    assert torch.equal(product.weight_view_for_instruction(2), product.weight[-3:])
    x, y = torch.randn(2, 5, 9)
    torch.testing.assert_close(product(x, y, list(views.values())), product(x, y))
    with pytest.raises(ValueError, match=r"instruction 0 .* has no weights"):
        product.weight_view_for_instruction(0)


def test_unit_variance_in_and_out():
    product = FullyConnectedTensorProduct("20x0e + 20x1o", "10x0e + 10x1o", "30x0e + 30x1o")
    z = product(torch.randn(500, 80), torch.randn(500, 40))
    assert z[:, :30].var().item() == pytest.approx(1, abs=0.15)
    assert z[:, 30:].var().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_empty_irreps_batches_and_paths(layout):
    for irreps in ("", "0x0e", "2x1o"):
        for out in ("", "0x1o", "2x1o + 0e"):
            product = FullyConnectedTensorProduct(irreps, "0e + 1o", out, layout=layout)
            z = product(torch.randn(0, 3, product.irreps_in1.dim), torch.randn(3, 4))
            assert z.shape == (0, 3, product.irreps_out.dim)
    product = TensorProduct("1o", "1o", "1e + 2x0e", [(0, 0, 0, "uuu", False)], layout=layout)
    assert product(torch.randn(5, 3), torch.randn(5, 3)).split([3, 2], -1)[1].abs().max() == 0


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ((1, 0, 0, "uvw", True), IndexError, "entry 1 of irreps_in1"),
        ((0, 2, 0, "uvw", True), IndexError, "entry 2 of irreps_in2"),
        ((0, 0, 5, "uvw", True), IndexError, "entry 5 of irreps_out"),
        ((0, 0, 0, "uwv", True), ValueError, "mode must be one of .* got 'uwv'"),
        ((0, 0, 1, "uvw", True), ValueError, "product of 1o and 1o holds 0e, 1e, 2e, not 1o"),
        ((0, 0, 0, "uuu", True), ValueError, "needs multiplicities in1 = in2 = out"),
        ((0, 0, 0, "uvw", False), ValueError, "always has weights"),
        ((0, 0, 0, "uvw", True, -1.0), ValueError, "cannot be negative"),
    ],
)
def test_mistakes_in_instructions(path, error, message):
    with pytest.raises(error, match=message):
        TensorProduct("2x1o", "3x1o + 0e", "4x0e + 4x1o", [path])


def test_other_mistakes():
    arguments = ("2x1o", "2x1o", "0e", [(0, 0, 0, "uuw", True)])
    with pytest.raises(ValueError, match="irrep_normalization must be one of"):
        TensorProduct(*arguments, irrep_normalization="components")
    with pytest.raises(ValueError, match="in1_var must hold one variance for each"):
        TensorProduct(*arguments, in1_var=[1.0, 2.0])
    with pytest.raises(ValueError, match="sums to one copy"):
        TensorProduct("2x1o", "2x1o", "3x0e", [(0, 0, 0, "uuw", False)])
    product = TensorProduct(*arguments, internal_weights=False)
    x = torch.randn(3, 6)
    with pytest.raises(ValueError, match=r"pass weights of shape \[2\]"):
        product(x, x)
    with pytest.raises(ValueError, match=r"the second input .* shape \[\.\.\., 6\]"):
        product(x, x[:, :4], torch.randn(2))
