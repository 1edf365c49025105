"""A convolution with its radial MLP against gather, e3nn's tensor product and scatter."""

import math
from collections.abc import Callable, Iterator

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3 as e3nn_o3
from torch import Tensor

from benchmarking.timing import Comparison
from molnet import nn, o3
from molnet.graph import edge_vectors
from molnet.graph.container import Graph
from molnet.kernels import CompiledEdgeBasis, Edges, Weights
from molnet.models.interaction import RadialWeights
from molnet.nn.convolution import Convolution
from molnet.nn.spline import CubicSpline


def convolution_comparisons(graph: Graph, cutoff: float, channels: int) -> Iterator[Comparison]:
    """A convolution with its radial MLP, against gather, tensor product and scatter.

    Args:
        graph: gives edges and distances.
        cutoff: of the graph, in Å.
        channels: of features with l up to 2.
    """
    features = f"{channels}x0e+{channels}x1o+{channels}x2e"
    harmonics = "1x0e+1x1o+1x2e"
    nodes = len(graph.pos)
    senders, receivers = graph.edge_index
    edges = Edges.of(senders, receivers, nodes)
    x = torch.randn(nodes, o3.Irreps(features).dim, requires_grad=True)
    vectors = edge_vectors(graph).requires_grad_()
    Y = o3.spherical_harmonics(harmonics, vectors, True, "component").detach().requires_grad_()

    convolution = Convolution(features, harmonics, features)
    spline, basis = CubicSpline(cutoff, 64), nn.BesselBasis(cutoff, 8)
    edge_basis = CompiledEdgeBasis(
        (1.0, math.sqrt(3), math.sqrt(5)),
        True,
        spline.num_knots,
        cutoff,
        lambda r: (
            o3.spherical_harmonics(harmonics, r, True, "component"),
            spline(r.norm(dim=1))[0],
        ),
    )
    at_knots, interpolation = basis(spline.knots()).to(x), spline.interpolation().to(x)
    sizes = [8, 64, 64, convolution.weight_numel]
    n, *hidden, numel = sizes
    radial = RadialWeights(n, hidden, numel)

    def ours() -> Tensor:
        (table,) = RadialWeights.tables([radial], at_knots, interpolation)
        if edge_basis.serves(vectors):
            _, factors, rows = edge_basis(vectors)  # with harmonics, as the network has them
        else:
            factors, rows = spline(vectors.norm(dim=1))
        return convolution(x, Y, Weights(factors, table, rows), edges)

    e3nn_features, e3nn_harmonics = e3nn_o3.Irreps(features), e3nn_o3.Irreps(harmonics)
    paths = [
        (i, j, (mul, out))
        for i, (mul, ir) in enumerate(e3nn_features)
        for j, (_, ir_harmonic) in enumerate(e3nn_harmonics)
        for out in ir * ir_harmonic
        if out in e3nn_features
    ]
    product = e3nn_o3.TensorProduct(
        e3nn_features,
        e3nn_harmonics,
        [out for _, _, out in paths],
        [(i, j, k, "uvu", True) for k, (i, j, _) in enumerate(paths)],
        shared_weights=False,
        internal_weights=False,
    )
    e3nn_radial = e3nn_nn.FullyConnectedNet(sizes, torch.nn.functional.silu)

    def theirs() -> Tensor:
        messages = product(x[senders], Y, e3nn_radial(basis(vectors.norm(dim=1))))
        return messages.new_zeros(nodes, messages.shape[1]).index_add(0, receivers, messages)

    def once(function: Callable[[], Tensor]) -> Callable[[], object]:
        def run() -> object:
            with torch.no_grad():
                return function()

        return run

    def twice(function: Callable[[], Tensor], weights: list[Tensor]) -> Callable[[], object]:
        """Differentiate values and gradients, as training on energies and forces does.

        The adjoints of both are given, so that only the convolution is measured.
        """
        inputs = [x, Y, vectors]
        of_values = torch.randn_like(function()).requires_grad_()
        of_gradients = [torch.randn_like(tensor) for tensor in inputs]

        def run() -> object:
            values = function()
            gradients = torch.autograd.grad(values, inputs, of_values, create_graph=True)
            return torch.autograd.grad(
                [values, *gradients],
                [*inputs, of_values, *weights],
                [of_values.detach(), *of_gradients],
            )

        return run

    yield Comparison("forward", {"molnet": once(ours), "e3nn": once(theirs)})
    yield Comparison(
        "forward, backward, double backward",
        {
            "molnet": twice(ours, list(radial.parameters())),
            "e3nn": twice(theirs, list(e3nn_radial.parameters())),
        },
    )
