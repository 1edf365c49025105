"""Cartesian tensors: e3nn's values, both ways, equivariance."""

import copy
import pickle

import pytest
import torch
from e3nn.io import CartesianTensor as E3nnCartesianTensor

from molnet import o3
from molnet.o3 import CartesianTensor, Irreps

FORMULAS = ["i", "ij", "ij=ji", "ij=-ji", "ijk=ikj", "ijk=-jik=-ikj", "ijkl=jikl=ijlk=klij"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_agrees_with_e3nn(formula):
    ours, theirs = CartesianTensor(formula), E3nnCartesianTensor(formula)
    assert ours == theirs
    assert repr(ours) == repr(theirs)
    assert (ours.formula, ours.indices) == (theirs.formula, theirs.indices)
    T = torch.randn(4, *[3] * len(ours.indices))
    y = ours.from_cartesian(T)
    torch.testing.assert_close(y, theirs.from_cartesian(T), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.to_cartesian(y), theirs.to_cartesian(y), atol=1e-5, rtol=0)
    vectors = torch.randn(len(ours.indices), 4, 3)
    torch.testing.assert_close(
        ours.from_vectors(*vectors), theirs.from_vectors(*vectors), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("formula", FORMULAS)
def test_there_and_back(formula):
    tensor = CartesianTensor(formula)
    y = tensor.randn(2, 5, -1, dtype=torch.float64)
    T = tensor.to_cartesian(y)
    assert T.shape == (2, 5, *[3] * len(tensor.indices))
    torch.testing.assert_close(tensor.from_cartesian(T), y)
    torch.testing.assert_close(T.flatten(2).norm(dim=-1), y.norm(dim=-1))
    rtp = tensor.reduced_tensor_products(y)
    assert torch.equal(tensor.to_cartesian(y, rtp), T)
    assert torch.equal(tensor.from_cartesian(T, rtp), tensor.from_cartesian(T))


def test_symmetric_matrices():
    tensor = CartesianTensor("ij=ji")
    assert tensor == Irreps("0e + 2e")
    assert isinstance(tensor, Irreps)
    T = torch.randn(7, 3, 3, dtype=torch.float64)
    y = tensor.from_cartesian(T)
    torch.testing.assert_close(tensor.to_cartesian(y), (T + T.mT) / 2)
    trace = T.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(y[:, 0], trace / 3**0.5)
    vectors = torch.randn(2, 7, 3, dtype=torch.float64)
    outer = vectors[0, :, :, None] * vectors[1, :, None, :]
    torch.testing.assert_close(tensor.from_vectors(*vectors), tensor.from_cartesian(outer))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("formula", FORMULAS)
def test_equivariance(formula, sign):
    tensor = CartesianTensor(formula)
    rank = len(tensor.indices)
    R = sign * o3.rand_matrix(dtype=torch.float64)
    T = torch.randn([3] * rank, dtype=torch.float64)
    turned = T
    for axis in range(rank):
        turned = torch.tensordot(turned, R, dims=([axis], [1])).movedim(-1, axis)
    D = tensor.D_from_matrix(R)
    torch.testing.assert_close(tensor.from_cartesian(turned), D @ tensor.from_cartesian(T))
    if formula == "ij=ji":  # the check sees a swap of two components
        swapped = D[[0, 2, 1, 3, 4, 5]] @ tensor.from_cartesian(T)
        assert (tensor.from_cartesian(turned) - swapped).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_dtypes_and_gradients(dtype):
    tensor = CartesianTensor("ij=ji")
    for batch in ((), (0,), (2, 0, 3)):
        y = tensor.from_cartesian(torch.randn(*batch, 3, 3, dtype=dtype))
        assert y.shape == (*batch, 6)
        assert y.dtype == dtype
        assert tensor.to_cartesian(y).shape == (*batch, 3, 3)
    T = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tensor.from_cartesian, (T,))


def test_is_a_value():
    tensor = CartesianTensor("ij=-ji")
    for twin in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor))):  # noqa: S301
        assert twin == tensor
        assert (twin.formula, twin.indices) == ("ij=-ji", "ij")


def test_mistakes_are_named():
    tensor = CartesianTensor("ij=ji")
    with pytest.raises(ValueError, match=r"got \[3, 2\]"):
        tensor.from_cartesian(torch.randn(3, 2))
    with pytest.raises(ValueError, match=r"\[..., 6\], got \[5\]"):
        tensor.to_cartesian(torch.randn(5))
    with pytest.raises(ValueError, match="got shapes"):
        tensor.from_vectors(torch.randn(3))
    with pytest.raises(ValueError, match="permutation"):
        CartesianTensor("ij=kl")
