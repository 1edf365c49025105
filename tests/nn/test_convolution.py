"""The convolution against e3nn's tensor product on every edge, gathered and scattered."""

import pytest
import torch
from e3nn import o3 as e3nn_o3
from torch import Tensor

from molnet.kernels import Edges, Weights
from molnet.nn.convolution import Convolution
from molnet.o3.irreps import Irreps
from molnet.o3.layout import change_layout


def random_graph(num_nodes: int, num_edges: int) -> tuple[Tensor, Tensor]:
    receivers = torch.randint(num_nodes, (num_edges,)).sort().values
    return torch.randint(num_nodes, (num_edges,)), receivers


def e3nn_convolution(
    convolution: Convolution,
    x: Tensor,
    harmonics: Tensor,
    weights: Tensor,
    senders: Tensor,
    receivers: Tensor,
) -> Tensor:
    """Gather, e3nn ``uvu`` tensor product, scatter; input and output in layout ``mul_ir``.

    The outputs of the paths to one irrep are joined by channel, in the order of the paths.
    """
    irreps_in = e3nn_o3.Irreps(str(convolution.irreps_in))
    irreps_harmonics = e3nn_o3.Irreps(str(convolution.irreps_harmonics))
    kept = {ir for _, ir in e3nn_o3.Irreps(str(convolution.irreps_out))}
    couplings = [
        (i, j, mul, ir_out)
        for i, (mul, ir) in enumerate(irreps_in)
        for j, (_, ir_harmonic) in enumerate(irreps_harmonics)
        for ir_out in ir * ir_harmonic
        if ir_out in kept
    ]
    order = sorted(range(len(couplings)), key=lambda p: (couplings[p][3], p))
    place = {p: k for k, p in enumerate(order)}
    product = e3nn_o3.TensorProduct(
        irreps_in,
        irreps_harmonics,
        [(couplings[p][2], couplings[p][3]) for p in order],
        [(i, j, place[p], "uvu", True) for p, (i, j, _, _) in enumerate(couplings)],
        shared_weights=False,
        internal_weights=False,
    )
    messages = product(x[senders], harmonics, weights)
    return x.new_zeros(x.shape[0], messages.shape[1]).index_add(0, receivers, messages)


IRREPS = [
    ("8x0e", 2, "0e+1o+2e"),
    ("8x0e+8x1o+8x2e", 2, "0e+1o+2e"),
    ("5x0e+3x1o+2x2e", 3, "0e+1o+2e+3o"),
    ("3x0e+2x0o+4x1o+1x1e+2x2e", 2, "0e+0o+1o+1e+2e+2o"),
    ("1x0e+17x1o", 1, "0e"),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("irreps_in", "l_max", "kept"), IRREPS)
@pytest.mark.parametrize("num_edges", [0, 1, 40])
def test_equals_gather_tensor_product_scatter(
    irreps_in: str, l_max: int, kept: str, num_edges: int
) -> None:
    convolution = Convolution(irreps_in, Irreps.spherical_harmonics(l_max), kept)
    senders, receivers = random_graph(7, num_edges)
    x = torch.randn(7, Irreps(irreps_in).dim, dtype=torch.float64)
    harmonics = torch.randn(num_edges, (l_max + 1) ** 2, dtype=torch.float64)
    weights = torch.randn(num_edges, convolution.weight_numel, dtype=torch.float64)

    found = convolution(
        change_layout(x, irreps_in, "mul_ir", "ir_mul"),
        harmonics,
        Weights.of_edges(weights),
        Edges.of(senders, receivers, 7),
    )

    expected = e3nn_convolution(convolution, x, harmonics, weights, senders, receivers)
    torch.testing.assert_close(
        change_layout(found, convolution.irreps_out, "ir_mul", "mul_ir"),
        expected,
        rtol=0,
        atol=1e-12,
    )


def test_gradients_of_first_and_second_order() -> None:
    convolution = Convolution("2x0e+3x1o", "0e+1o+2e", "0e+1o+2e").double()
    senders, receivers = random_graph(4, 6)
    arguments = [
        torch.randn(4, convolution.irreps_in.dim, dtype=torch.float64, requires_grad=True),
        torch.randn(6, 9, dtype=torch.float64, requires_grad=True),
        torch.randn(6, convolution.weight_numel, dtype=torch.float64, requires_grad=True),
    ]

    def function(x: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        edges = Edges.of(senders, receivers, 4)
        return convolution(x, harmonics, Weights.of_edges(weights), edges)

    assert torch.autograd.gradcheck(function, arguments)
    assert torch.autograd.gradgradcheck(function, arguments)


def test_the_coupling_is_exact_in_every_precision() -> None:
    coupling = Convolution("2x1o", "0e+1o+2e", "0e+1o+2e").coupling
    with torch.inference_mode():
        single, double = (
            coupling.like(torch.empty(0, dtype=dtype)) for dtype in (torch.float32, torch.float64)
        )
    assert torch.equal(double, coupling.value)
    assert torch.equal(single, coupling.value.float())
    assert not torch.equal(single.double(), coupling.value)
    assert not single.is_inference()
    assert not double.is_inference()


def test_harmonics_with_a_multiplicity_are_refused() -> None:
    with pytest.raises(ValueError, match="multiplicity one"):
        Convolution("2x0e", "2x1o", "1o")
