"""Products with index symmetries: e3nn's basis, equivariance, symmetry, completeness."""

import itertools

import pytest
import torch
from e3nn import o3 as e3nn

from molnet import o3
from molnet.o3 import Irreps, ReducedTensorProducts

CASES = [
    ("ij=ji", {"i": "1o"}),
    ("ij=-ji", {"i": "1o"}),
    ("ij=ji", {"i": "2x0e + 1o + 1e"}),
    ("ij=-ji", {"i": "2x1o + 2e"}),
    ("ij", {"i": "1o", "j": "0e + 2e"}),
    ("ijk=jik", {"i": "1o", "k": "0o + 1e"}),
    ("ijk=jik=ikj", {"i": "0e + 1o"}),
    ("ijk=-jik=-ikj", {"i": "1o"}),
    ("ijk=jki", {"i": "1e"}),
    ("ijkl=jikl=klij", {"i": "1o"}),
    ("ijkl=jikl=ikjl=ijlk", {"i": "1e"}),
]


def arguments(product: ReducedTensorProducts, *batch: int) -> list[torch.Tensor]:
    dtype = product.change_of_basis.dtype
    return [irreps.randn(*batch, -1, dtype=dtype) for irreps in product.irreps_in]


@pytest.mark.parametrize(("formula", "irreps"), CASES)
def test_agrees_with_e3nn(formula, irreps):
    ours = ReducedTensorProducts(formula, **irreps)
    theirs = e3nn.ReducedTensorProducts(formula, **irreps)
    assert ours.irreps_in == theirs.irreps_in
    assert ours.irreps_out == theirs.irreps_out
    assert repr(ours) == repr(theirs)
    torch.testing.assert_close(ours.change_of_basis, theirs.change_of_basis, atol=1e-6, rtol=0)
    xs = arguments(ours, 5)
    torch.testing.assert_close(ours(*xs), theirs(*xs), atol=1e-5, rtol=1e-5)
    ours.load_state_dict(theirs.state_dict())
    assert ours.state_dict() == {}


@pytest.mark.parametrize(
    "filters",
    [{"filter_ir_out": ["0e", "2e"]}, {"filter_ir_mid": ["0e", "1o", "1e", "2e"]}],
    ids=lambda filters: next(iter(filters)),
)
def test_filters_agree_with_e3nn(filters):
    ours = ReducedTensorProducts("ijk=jik", i="1o", k="1o + 1e", **filters)
    theirs = e3nn.ReducedTensorProducts("ijk=jik", i="1o", k="1o + 1e", **filters)
    assert ours.irreps_out == theirs.irreps_out
    torch.testing.assert_close(ours.change_of_basis, theirs.change_of_basis, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("formula", "irreps"), CASES)
def test_basis_is_orthonormal_and_complete(formula, irreps):
    product = ReducedTensorProducts(formula, **irreps).double()
    Q = product.change_of_basis.flatten(1)
    torch.testing.assert_close(Q @ Q.T, torch.eye(len(Q)).double(), atol=1e-12, rtol=0)
    # Averaging over the group by brute force: Q projects on the same space.
    signed = [(-1 if term[0] == "-" else 1, term.lstrip("-")) for term in formula.split("=")]
    T = torch.randn(product.change_of_basis.shape[1:], dtype=torch.float64)
    for _ in range(400):
        for sign, letters in signed:
            axes = [formula.split("=")[0].index(letter) for letter in letters]
            T = (T + sign * T.permute(axes)) / 2
    torch.testing.assert_close((Q.T @ (Q @ T.flatten())).view(T.shape), T, atol=1e-9, rtol=0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("formula", "irreps"), CASES)
def test_equivariance(formula, irreps, sign):
    product = ReducedTensorProducts(formula, **irreps).double()
    R = sign * o3.rand_matrix(dtype=torch.float64)
    xs = arguments(product, 4)
    turned = [x @ ir.D_from_matrix(R).T for x, ir in zip(xs, product.irreps_in, strict=True)]
    expected = product(*xs) @ product.irreps_out.D_from_matrix(R).T
    torch.testing.assert_close(product(*turned), expected, atol=1e-11, rtol=0)


def test_the_equivariance_check_rejects_a_broken_basis():
    product = ReducedTensorProducts("ij=ji", i="1o").double()
    product.change_of_basis[1:3] = product.change_of_basis[[2, 1]].clone()
    R = o3.rand_matrix(dtype=torch.float64)
    x, y = torch.randn(2, 3, dtype=torch.float64)
    expected = product(x, y) @ product.irreps_out.D_from_matrix(R).T
    assert (product(x @ R.T, y @ R.T) - expected).abs().max() > 1e-3


def test_products_have_the_symmetry():
    x, y, z = torch.randn(3, 6, 3, dtype=torch.float64)
    antisymmetric = ReducedTensorProducts("ijk=-jik=-ikj", i="1o").double()
    assert antisymmetric.irreps_out == Irreps("0o")
    volume = torch.linalg.det(torch.stack([x, y, z], -1))[:, None]
    torch.testing.assert_close(antisymmetric(x, y, z).abs(), volume.abs() / 6**0.5)
    torch.testing.assert_close(antisymmetric(y, x, z), -antisymmetric(x, y, z))
    symmetric = ReducedTensorProducts("ijk=jik=ikj", i="1o").double()
    for order in itertools.permutations((x, y, z)):
        torch.testing.assert_close(symmetric(*order), symmetric(x, y, z))


def test_contradictory_symmetries_leave_nothing():
    product = ReducedTensorProducts("ij=-ij", i="1o", j="1o")
    assert product.irreps_out == Irreps("")
    assert product(torch.randn(4, 3), torch.randn(4, 3)).shape == (4, 0)


def test_both_layouts():
    irreps = Irreps("2x0e + 3x1o")
    product = ReducedTensorProducts("ij=ji", i=irreps)
    inner = ReducedTensorProducts("ij=ji", i=irreps, layout="ir_mul")
    x, y = irreps.randn(2, 5, -1)
    turned = (o3.change_layout(v, irreps, "mul_ir", "ir_mul") for v in (x, y))
    expected = o3.change_layout(product(x, y), product.irreps_out, "mul_ir", "ir_mul")
    torch.testing.assert_close(inner(*turned), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_shapes_and_dtypes(batch, dtype):
    product = ReducedTensorProducts("ij=ji", i="0x0e + 1o + 2x1e").to(dtype)
    xs = arguments(product, *batch)
    assert product(*xs).shape == (*batch, product.irreps_out.dim)
    assert product(*xs).dtype == dtype


def test_gradients_of_first_and_second_order():
    product = ReducedTensorProducts("ijk=jik", i="1o", k="1o").double()
    xs = [x.requires_grad_() for x in arguments(product, 2)]
    assert torch.autograd.gradcheck(product, xs)
    assert torch.autograd.gradgradcheck(product, xs)


def test_export():
    product = ReducedTensorProducts("ij=ji", i="1o")
    xs = tuple(arguments(product, 4))
    torch.testing.assert_close(torch.export.export(product, xs).module()(*xs), product(*xs))


@pytest.mark.slow
def test_compiles_into_one_graph():
    product = ReducedTensorProducts("ij=ji", i="1o")
    xs = arguments(product, 4)
    torch.testing.assert_close(torch.compile(product, fullgraph=True)(*xs), product(*xs))


@pytest.mark.parametrize(
    ("formula", "irreps", "message"),
    [
        ("ii=ii", {"i": "1o"}, "different letters"),
        ("-ij=ji", {"i": "1o"}, "different letters"),
        ("ij=jk", {"i": "1o"}, '"jk" is no permutation of "ij"'),
        ("ij=ji", {"i": "1o", "j": "1e"}, 'got "1x1o", "1x1e"'),
        ("ij", {"i": "1o"}, r'index "j".*got none'),
        ("ij=ji", {"i": "1o", "k": "1o"}, r"\['k'\]"),
        ("ij=ji", {"i": "one"}, 'got "one"'),
    ],
)
def test_mistakes_are_named(formula, irreps, message):
    with pytest.raises(ValueError, match=message):
        ReducedTensorProducts(formula, **irreps)


def test_wrong_inputs_are_named():
    product = ReducedTensorProducts("ij=ji", i="1o")
    with pytest.raises(ValueError, match=r"\[..., 3\], \[..., 3\], got shapes \[\[5, 3\]\]"):
        product(torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"\[5, 4\]"):
        product(torch.randn(5, 3), torch.randn(5, 4))
