"""Convolutions with harmonics of vectors, whose paths are done together, against the reference."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from molnet import o3
from molnet.kernels import Edges, Weights
from molnet.kernels.compiler import library
from molnet.kernels.convolution import operators, reference
from molnet.nn.convolution import Convolution
from molnet.nn.spline import CubicSpline

pytestmark = pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")

CUTOFF = 3.0
FEATURES = {
    "64 channels": "64x0e+64x1o+64x2e",
    "unequal channels": "24x0e+16x1o+8x2e",
    "channels beside whole vectors": "8x0e+5x1o+16x2e",
    "both parities": "16x0e+16x0o+16x1o+16x1e+16x2e+16x2o",
}


class Neighbours(NamedTuple):
    """Edges between atoms, and their vectors ``[E, 3]``."""

    edges: Edges
    vectors: Tensor


def neighbours(num_atoms: int = 40, dtype: torch.dtype = torch.float64) -> Neighbours:
    """All pairs of near atoms, both ways: more than are done at a time."""
    positions = 2.5 * torch.randn(num_atoms, 3, dtype=dtype)
    receivers, senders = (torch.cdist(positions, positions) < CUTOFF).nonzero().T
    there = receivers != senders
    receivers, senders = receivers[there], senders[there]
    vectors = positions[senders] - positions[receivers]
    return Neighbours(Edges.of(senders, receivers, num_atoms), vectors)


def both_ways(
    features: str, graph: Neighbours, harmonics: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The convolution by kernels and by the reference."""
    torch.manual_seed(3)
    convolution = Convolution(features, "0e+1o+2e", features).to(graph.vectors.dtype)
    spline = CubicSpline(CUTOFF, 8)
    basis, rows = spline(graph.vectors.norm(dim=1))
    table = torch.randn(int(rows.max()) + 4, convolution.weight_numel).to(basis)
    x = torch.randn(len(graph.edges.receiver_starts) - 1, convolution.irreps_in.dim).to(basis)
    if harmonics is None:
        harmonics = of_vectors(graph.vectors)
    arguments = (
        *(x, harmonics, convolution.coupling.like(x), Weights(basis, table, rows)),
        *(graph.edges, convolution.plan),
    )
    return operators.convolve(*arguments), reference.convolve(*arguments)


def of_vectors(vectors: Tensor, normalization: str = "component") -> Tensor:
    return o3.spherical_harmonics("0e+1o+2e", vectors, True, normalization)


def assert_agree(ours: Tensor, expected: Tensor) -> None:
    tolerance = 2e-5 if ours.dtype == torch.float32 else 1e-13
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agree_with_the_reference(features: str, dtype: torch.dtype) -> None:
    assert_agree(*both_ways(features, neighbours(dtype=dtype)))


def test_harmonics_of_vectors_are_recognised() -> None:
    """One that is of none changes the last digits of its receiver and those beside it."""
    graph = neighbours()
    harmonics = of_vectors(graph.vectors)
    together, _ = both_ways(FEATURES["64 channels"], graph, harmonics)
    harmonics[0, 6] += 1e-3
    one_by_one, expected = both_ways(FEATURES["64 channels"], graph, harmonics)
    assert_agree(one_by_one, expected)
    assert not torch.equal(one_by_one[1], together[1])
    assert torch.equal(one_by_one[-1], together[-1])


@pytest.mark.parametrize("place", range(9))
def test_each_harmonic_counts(place: int) -> None:
    graph = neighbours(10)
    harmonics = of_vectors(graph.vectors)
    harmonics[len(harmonics) // 2, place] += 1e-3
    assert_agree(*both_ways(FEATURES["64 channels"], graph, harmonics))


@pytest.mark.parametrize("normalization", ["norm", "integral"])
def test_harmonics_of_another_normalisation(normalization: str) -> None:
    graph = neighbours()
    harmonics = of_vectors(graph.vectors, normalization)
    assert_agree(*both_ways(FEATURES["64 channels"], graph, harmonics))


def test_a_vector_of_no_length() -> None:
    graph = neighbours()
    graph.vectors[5] = 0
    assert_agree(*both_ways(FEATURES["64 channels"], graph))


def test_solid_harmonics() -> None:
    """Without normalisation to one length: of any length they are those of one vector."""
    graph = neighbours()
    harmonics = o3.spherical_harmonics("0e+1o+2e", graph.vectors, False, "component")
    assert_agree(*both_ways(FEATURES["64 channels"], graph, harmonics))


def test_edges_back_that_differ_or_are_not_found() -> None:
    """Edges one way only, several between two atoms, at other lengths, in any order of senders."""
    senders = torch.tensor([2, 1, 1, 0, 2, 0, 0, 1, 1, 3, 0, 3])
    receivers = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3])
    lengths = torch.tensor([1.0, 1.1, 1.2, 1.2, 1.3, 1.1, 1.0, 1.9, 1.3, 1.4, 1.5, 1.6])
    vectors = torch.nn.functional.normalize(torch.randn(12, 3), dim=1) * lengths[:, None]
    graph = Neighbours(Edges.of(senders, receivers, 4), vectors.double())
    assert_agree(*both_ways(FEATURES["64 channels"], graph))


def test_an_atom_of_many_neighbours() -> None:
    """More edges at one receiver than are done at a time."""
    num = 300
    vectors = torch.randn(2 * num, 3, dtype=torch.float64).clamp(-1, 1)
    receivers = torch.cat([torch.zeros(num, dtype=torch.int64), torch.arange(1, num + 1)])
    senders = torch.cat([torch.arange(1, num + 1), torch.zeros(num, dtype=torch.int64)])
    vectors[num:] = -vectors[:num]
    graph = Neighbours(Edges.of(senders, receivers, num + 1), vectors)
    assert_agree(*both_ways(FEATURES["64 channels"], graph))
