"""Irreps as values: agreement with e3nn, algebra, representation matrices, errors."""

import copy
import itertools
import pickle

import pytest
import torch
from e3nn import o3 as e3nn
from hypothesis import given, settings
from hypothesis import strategies as st

from molnet import o3
from molnet.o3 import Irrep, Irreps, MulIrrep

irrep_pairs = st.tuples(st.integers(0, 6), st.sampled_from([1, -1]))
terms = st.lists(st.tuples(st.integers(0, 5), irrep_pairs), max_size=6)


@given(terms, terms, irrep_pairs)
@settings(max_examples=60, deadline=None)
def test_agrees_with_e3nn(first, second, pair):
    ours, theirs = Irreps(first), e3nn.Irreps(first)
    assert repr(ours) == repr(theirs)
    assert ours == theirs  # both are tuples of (mul, (l, p))
    assert hash(ours) == hash(theirs)
    for name in ("dim", "num_irreps", "ls"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.slices() == theirs.slices()
    assert ours.simplify() == theirs.simplify()
    assert ours.regroup() == theirs.regroup()
    assert ours.remove_zero_multiplicities() == theirs.remove_zero_multiplicities()
    assert tuple(ours.sort()) == tuple(theirs.sort())
    assert ours.filter(lmax=2) == theirs.filter(lmax=2)
    assert ours + Irreps(second) == theirs + e3nn.Irreps(second)
    assert ours * 2 == theirs * 2
    assert 3 * ours == 3 * theirs
    assert (ours < Irreps(second)) == (theirs < e3nn.Irreps(second))
    ir, their_ir = Irrep(pair), e3nn.Irrep(pair)
    assert (ir in ours) == (their_ir in theirs)
    assert ours.count(ir) == theirs.count(their_ir)
    assert ours[1:] == theirs[1:]


@given(terms)
@settings(deadline=None)
def test_cuts_by_multiplicity_are_those_of_e3nn(given_terms):
    """All of them, empty entries included."""
    ours, theirs = Irreps(given_terms), e3nn.Irreps(given_terms)
    for start, stop in itertools.combinations_with_replacement(range(ours.num_irreps + 1), 2):
        assert ours.slice_by_mul[start:stop] == theirs.slice_by_mul[start:stop]
        assert start == stop or ours.slice_by_mul[stop:start] == Irreps()  # e3nn fails on some
    assert ours.slice_by_mul[:] == theirs.slice_by_mul[:] == ours
    assert ours.slice_by_mul[-2:] == theirs.slice_by_mul[-2:]


@given(terms)
def test_printed_form_is_read_back(given_terms):
    irreps = Irreps(given_terms)
    assert Irreps(repr(irreps)) == irreps
    assert Irreps(e3nn.Irreps(given_terms)) == irreps
    for twin in (copy.copy(irreps), copy.deepcopy(irreps), pickle.loads(pickle.dumps(irreps))):  # noqa: S301
        assert twin == irreps
        assert type(twin) is Irreps
        assert all(type(term) is MulIrrep and type(term.ir) is Irrep for term in twin)


@given(terms)
def test_sorting_permutation_is_undone_by_its_inverse(given_terms):
    irreps = Irreps(given_terms)
    result, p, inv = irreps.sort()
    assert [result[i] for i in p] == list(irreps)
    assert [irreps[i] for i in inv] == list(result)


@given(irrep_pairs, irrep_pairs)
def test_product_of_irreps(first, second):
    product = Irrep(first) * Irrep(second)
    assert list(product) == list(e3nn.Irrep(first) * e3nn.Irrep(second))
    assert sum(ir.dim for ir in product) == Irrep(first).dim * Irrep(second).dim


@pytest.mark.parametrize(
    "spelling",
    ["2x0e+1o", " 2 x 0e +1x1o ", [(2, "0e"), "1o"], [(2, (0, 1)), Irrep("1y")], ("2x0e", "1x1o")],
)
def test_spellings(spelling):
    assert Irreps(spelling) == Irreps([(2, (0, 1)), (1, (1, -1))])


def test_terms_unpack():
    ((mul, (l, p)),) = Irreps("16x2o")
    assert (mul, l, p) == (16, 2, -1)
    assert Irreps(Irrep("1o")) == Irreps(MulIrrep(1, "1o")) == Irreps("1o")
    assert Irreps() == Irreps("") == Irreps(None)
    assert repr(Irreps()) == ""
    assert 3 * Irrep("1e") == Irreps("3x1e")
    assert Irrep("1o") + Irrep("2o") == Irreps("1o + 2o")
    assert list(Irrep.iterator(3)) == list(e3nn.Irrep.iterator(3))
    assert Irrep("0e").is_scalar()
    assert not Irrep("0o").is_scalar()


def test_filter():
    irreps = Irreps("1e + 2x2e + 0e")
    assert irreps.filter("2e + 3x1e") == Irreps("1e + 2x2e")
    assert irreps.filter(Irrep("2e")) == irreps.filter([Irrep("2e")]) == Irreps("2x2e")
    assert irreps.filter(lambda term: term.mul == 2) == Irreps("2x2e")
    assert irreps.filter(drop=lambda term: term.ir.l > 0) == Irreps("0e")
    assert irreps.filter(drop="2e") == Irreps("1e + 0e")
    assert irreps.filter() == irreps
    with pytest.raises(ValueError, match="keep and lmax"):
        irreps.filter("1e", lmax=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Irrep("1x"), r'such as "0e" or "1o", got "1x"'),
        (lambda: Irrep("2x1o"), "2x1o"),
        (lambda: Irrep(-1, 1), "l = -1"),
        (lambda: Irrep(1, 2), "p = 2"),
        (lambda: Irrep(1.5, 1), "1.5"),
        (lambda: Irrep(3), "got 3"),
        (lambda: MulIrrep(-1, "0e"), "-1 for the irrep 0e"),
        (lambda: MulIrrep(3), "got 3"),
        (lambda: Irreps("3x0e + 1z"), 'got "1z"'),
        (lambda: Irreps("0e +"), 'got ""'),
        (lambda: Irreps([(1, "1o", 2)]), "cannot read irreps"),
        (lambda: Irreps(7), "got 7"),
        (lambda: Irreps("0x1e").lmax, "no irrep"),
        (lambda: Irreps("1e").slice_by_mul[::2], "step 1"),
        (lambda: Irreps("1e").randn(3), "one -1"),
        (lambda: Irreps("1e").randn(-1, normalization="unit"), "unit"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_types_are_refused():
    with pytest.raises(TypeError):
        Irreps("1e") * Irreps("1e")
    with pytest.raises(TypeError, match="slice"):
        Irreps("1e").slice_by_mul[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_randn(dtype):
    irreps = Irreps("2x0e + 0x1o + 3x2o")
    x = irreps.randn(4, -1, 5, normalization="norm", dtype=dtype, requires_grad=True)
    assert x.shape == (4, 17, 5)
    assert x.dtype == dtype
    assert x.requires_grad
    assert x.is_leaf
    torch.testing.assert_close(x[:, :2].abs(), torch.ones(4, 2, 5, dtype=dtype))
    norms = x[:, 2:].unflatten(1, (3, 5)).norm(dim=2)
    torch.testing.assert_close(norms, torch.ones(4, 3, 5, dtype=dtype))
    variance = irreps.randn(2000, -1, dtype=dtype).var(0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=0.15, rtol=0)
    assert Irreps("").randn(3, -1).shape == (3, 0)


def test_representation_matrices_agree_with_e3nn():
    ours, theirs = Irreps("2x0o + 1o + 0x1e + 2x3e"), e3nn.Irreps("2x0o + 1o + 0x1e + 2x3e")
    angles = o3.rand_angles(4, dtype=torch.float64)
    k = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    torch.set_default_dtype(torch.float64)  # e3nn computes its generators in the default dtype
    try:
        expected = theirs.D_from_angles(*angles, k)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(ours.D_from_angles(*angles, k), expected, atol=1e-13, rtol=0)


def test_representation_matrices_from_any_form():
    irreps = Irreps("0o + 2x1e + 2o")
    R = o3.rand_matrix(6, dtype=torch.float64)
    D = irreps.D_from_matrix(R)
    forms = [
        irreps.D_from_angles(*o3.matrix_to_angles(R)),
        irreps.D_from_quaternion(o3.matrix_to_quaternion(R)),
        irreps.D_from_axis_angle(*o3.matrix_to_axis_angle(R)),
    ]
    for form in forms:
        torch.testing.assert_close(form, D, atol=1e-12, rtol=0)
    torch.testing.assert_close(Irrep("1o").D_from_matrix(-R), -R, atol=1e-13, rtol=0)
    torch.testing.assert_close(Irrep("1e").D_from_matrix(-R), R, atol=1e-13, rtol=0)
    assert Irreps("").D_from_matrix(R).shape == (6, 0, 0)
    assert irreps.D_from_matrix(R[:0]).shape == (0, 12, 12)
    assert irreps.D_from_matrix(R[0].float()).dtype == torch.float32


def test_representation_is_a_homomorphism():
    irreps = Irreps("0o + 1o + 2e + 3o + 5e")
    A, B = -o3.rand_matrix(3, dtype=torch.float64), o3.rand_matrix(3, dtype=torch.float64)
    product = irreps.D_from_matrix(A) @ irreps.D_from_matrix(B)
    torch.testing.assert_close(irreps.D_from_matrix(A @ B), product, atol=1e-12, rtol=0)
    swapped = irreps.D_from_matrix(B) @ irreps.D_from_matrix(A)
    assert (irreps.D_from_matrix(A @ B) - swapped).abs().max() > 0.1  # the order matters


def test_whole_inversions():
    assert torch.equal(
        Irreps("0e + 0o + 1e").D_from_matrix(-torch.eye(3)).diagonal().round(),
        torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0]),
    )


def test_irreps_by_name():
    from molnet.o3.irrep import l1o, l12y

    assert (l1o, l12y) == (Irrep("1o"), Irrep("12y"))
    with pytest.raises(ImportError, match="l1x"):
        from molnet.o3.irrep import l1x  # noqa: F401
