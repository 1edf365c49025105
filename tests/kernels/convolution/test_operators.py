"""The compiled kernels against the reference, at every order of differentiation."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from molnet.kernels import Edges, Weights
from molnet.kernels.compiler import library
from molnet.kernels.convolution import operators, reference
from molnet.nn.convolution import Convolution

pytestmark = pytest.mark.skipif(library("float") is None, reason="there is no C++ compiler")


# Irreps of features, harmonics and outputs: every coupling of their degrees.
PLANS = {
    "one channel": ("0e", "0e", "0e"),
    "17 channels": ("17x0e+17x1o", "0e+1o", "0e+1o+1e"),
    "unequal channels": ("8x0e+3x1o+2x2e", "0e+1o+2e", "0e+1o+1e+2e+2o"),
    "up to l = 4": ("2x0e+1x1o+9x2e+1x3o+2x4e", "0e+1o+2e+3o+4e", "0e+1o+1e+2e+2o+3o+3e+4e+4o"),
}
SIZES = [(1, 0), (1, 3), (6, 20)]


class Problem:
    """Random arguments of a convolution; ``terms = 1`` gives each edge weights of its own."""

    def __init__(
        self,
        irreps: tuple[str, str, str],
        num_nodes: int,
        num_edges: int,
        terms: int,
        dtype: torch.dtype,
    ) -> None:
        convolution = Convolution(*irreps).to(dtype)
        self.plan, self.coupling = (
            convolution.plan,
            convolution.coupling.like(torch.empty(0, dtype=dtype)),
        )
        num_rows = num_edges if terms == 1 else 7
        sizes = [
            (num_nodes, self.plan.input_size),
            (num_edges, len(self.coupling)),
            (num_edges, terms),
            (num_rows, self.plan.weight_size),
        ]
        self.tensors = [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]
        self.rows = (
            torch.arange(num_edges)
            if terms == 1
            else torch.randint(num_rows - terms + 1, (num_edges,))
        )
        receivers = torch.randint(num_nodes, (num_edges,)).sort().values
        self.edges = Edges.of(torch.randint(num_nodes, (num_edges,)), receivers, num_nodes)

    def __call__(self, convolve: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        x, harmonics, basis, table = tensors or self.tensors
        weights = Weights(basis, table, self.rows)
        return convolve(x, harmonics, self.coupling, weights, self.edges, self.plan)


@pytest.mark.parametrize("irreps", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize(("num_nodes", "num_edges"), SIZES)
@pytest.mark.parametrize("terms", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agree_with_the_reference_to_second_order(
    irreps: tuple[str, str, str], num_nodes: int, num_edges: int, terms: int, dtype: torch.dtype
) -> None:
    compare(Problem(irreps, num_nodes, num_edges, terms, dtype), order=2)


def test_agree_with_the_reference_to_third_order() -> None:
    compare(Problem(PLANS["unequal channels"], 4, 7, 4, torch.float64), order=3)


# Many of these paths are done without matrices: those of l up to 2 with an even sum of l
# and whole vectors of channels, of 64 channels in kernels of their own.
CONVOLUTIONS = {
    "64 channels": ("64x0e+64x1o+64x2e", "0e+1o+2e", "0e+1o+2e"),
    "unequal channels": ("24x0e+16x1o+8x2e", "0e+1o+2e", "0e+1o+2e"),
    "channels beside whole vectors": ("8x0e+5x1o+11x2e", "0e+1o+2e", "0e+1o+2e"),
    "first layer": ("16x0e", "0e+1o+2e", "0e+1o+2e"),
    "last layer": ("16x0e+16x1o+16x2e", "0e+1o+2e", "0e"),
    "l up to 1": ("64x0e+64x1o", "0e+1o", "0e+1o"),
    "both parities": ("8x0e+8x0o+8x1o+8x1e+8x2e+8x2o", "0e+1o+2e", "0e+0o+1o+1e+2e+2o"),
    "harmonics in another order": ("8x0e+8x1o+8x2e", "2e+0e+1o", "0e+1o+2e"),
    "with l = 3": ("8x1o+8x2e+8x3o", "0e+1o+2e", "0e+1o+2e+3o"),
}


@pytest.mark.parametrize("irreps", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_couplings_of_irreps_agree_with_the_reference(
    irreps: tuple[str, str, str], dtype: torch.dtype
) -> None:
    compare(Problem(irreps, 5, 18, 4, dtype), order=2)


@pytest.mark.parametrize("name", ["backward", "double_backward"])
@pytest.mark.parametrize("channels", [12, 64])
def test_what_is_not_wanted_does_not_matter(name: str, channels: int) -> None:
    """Each choice of gradients by Y, B and T has kernels of its own."""
    irreps = f"{channels}x0e+{channels}x1o+{channels}x2e", "0e+1o+2e", "0e+1o+2e"
    problem = Problem(irreps, 5, 18, 4, torch.float64)
    g = torch.randn(5, problem.plan.output_size, dtype=torch.float64)
    tangents = [torch.randn_like(tensor) for tensor in problem.tensors[:3]]
    arguments = [g, *problem.tensors, *([*tangents, None] if "double" in name else [])]
    rest = (problem.coupling, problem.rows, *problem.edges, problem.plan)
    operator = getattr(torch.ops.molnet, f"convolution_{name}")

    def gradients(*tensors: Tensor) -> Tensor:
        form = (g * problem(reference.convolve, *tensors)).sum()
        if "double" not in name:
            return form
        slopes = torch.autograd.grad(form, tensors[:3], create_graph=True)
        return sum((s * t).sum() for s, t in zip(slopes, tangents, strict=True))

    expected = torch.autograd.grad(gradients(*problem.tensors), problem.tensors)
    for wanted in product([False, True], repeat=3):
        of_x, *others = operator(*operators.to_schema([*arguments, *rest, wanted]))
        torch.testing.assert_close(of_x, expected[0], rtol=1e-11, atol=1e-11)
        for asked, ours, theirs in zip(wanted, others, expected[1:], strict=True):
            if asked:
                torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-10)


def compare(problem: Problem, order: int) -> None:
    """Value, then gradients of nonlinear functions of the gradients before."""

    def derivatives(convolve: Callable[..., Tensor]) -> list[Tensor]:
        torch.manual_seed(1)
        found = [problem(convolve)]
        for _ in range(order):
            scalar = sum((value * torch.rand_like(value)).square().sum() for value in found[-4:])
            found += torch.autograd.grad(scalar, problem.tensors, create_graph=True)
        return found

    tolerance = 2e-4 if problem.tensors[0].dtype == torch.float32 else 1e-11
    for ours, expected in zip(
        derivatives(operators.convolve), derivatives(reference.convolve), strict=True
    ):
        scale = float(expected.detach().abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * max(scale, 1.0))


@pytest.mark.parametrize("terms", [1, 4])
def test_gradcheck_and_gradgradcheck(terms: int) -> None:
    problem = Problem(PLANS["unequal channels"], 3, 5, terms, torch.float64)

    def function(*tensors: Tensor) -> Tensor:
        return problem(operators.convolve, *tensors)

    assert torch.autograd.gradcheck(function, problem.tensors)
    assert torch.autograd.gradgradcheck(function, problem.tensors)


def test_registration() -> None:
    """Schema, fake implementation and autograd rule of every operator, as PyTorch checks them."""
    problem = Problem(PLANS["unequal channels"], 4, 7, 4, torch.float64)
    tensors = problem.tensors
    rest = (problem.coupling, problem.rows, *problem.edges, problem.plan)
    g = torch.randn(4, problem.plan.output_size, dtype=torch.float64, requires_grad=True)
    tangents = [torch.randn_like(tensor, requires_grad=True) for tensor in tensors]
    for name, arguments in {
        "forward": tensors,
        "backward": [g, *tensors],
        "double_forward": [*tensors, *tangents],
        "double_backward": [g, *tensors, *tangents[:3], None],
    }.items():
        wanted = [[True, True, False]] if "backward" in name else []
        torch.library.opcheck(
            getattr(torch.ops.molnet, f"convolution_{name}").default,
            tuple(operators.to_schema([*arguments, *rest, *wanted])),
            test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
        )


def test_arguments_that_are_not_contiguous() -> None:
    problem = Problem(PLANS["17 channels"], 5, 9, 4, torch.float64)
    strided = [tensor.detach().t().contiguous().t() for tensor in problem.tensors]
    assert not any(tensor.is_contiguous() for tensor in strided)
    assert torch.equal(
        problem(operators.convolve, *strided), problem(operators.convolve, *problem.tensors)
    )


def test_number_of_threads_changes_nothing() -> None:
    problem = Problem(PLANS["unequal channels"], 40, 300, 4, torch.float64)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = problem(operators.convolve)
            results.append([out, *torch.autograd.grad(out.square().sum(), problem.tensors)])
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        for ours, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-11)
