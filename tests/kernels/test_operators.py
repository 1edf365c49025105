"""The compiled kernels against the reference, at every order of differentiation."""

import pytest
import torch
from torch import Tensor

from molnet.kernels import Block, Edges, Path, Plan, operators, reference
from molnet.kernels.compiler import library

pytestmark = pytest.mark.skipif(library() is None, reason="there is no C++ compiler")


def dense_plan(channels: tuple[int, ...], l_out: int) -> Plan:
    """Every input irrep l = 0, 1, ... with its own number of channels coupled to every output."""
    inputs = tuple(Block(2 * l + 1, mul) for l, mul in enumerate(channels))
    paths = tuple(Path(i, o) for i in range(len(inputs)) for o in range(l_out + 1))
    return Plan(inputs, tuple(2 * l + 1 for l in range(l_out + 1)), paths)


PLANS = {
    "one channel": dense_plan((1,), 0),
    "17 channels": dense_plan((17, 17), 1),
    "unequal channels": dense_plan((8, 3, 2), 2),
    "up to l = 4": dense_plan((2, 1, 9, 1, 2), 4),
}
SIZES = [(1, 0), (1, 3), (5, 0), (6, 20)]


def random_arguments(
    plan: Plan, num_nodes: int, num_edges: int, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], Edges]:
    sizes = [
        (num_nodes, plan.input_size),
        (num_edges, sum(plan.matrix_sizes)),
        (num_edges, sum(plan.weight_sizes)),
    ]
    tensors = [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]
    receivers = torch.randint(num_nodes, (num_edges,)).sort().values
    return tensors, Edges.of(torch.randint(num_nodes, (num_edges,)), receivers, num_nodes)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize(("num_nodes", "num_edges"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agree_with_the_reference_to_third_order(
    plan: Plan, num_nodes: int, num_edges: int, dtype: torch.dtype
) -> None:
    tensors, edges = random_arguments(plan, num_nodes, num_edges, dtype)

    def derivatives(convolve: object) -> list[Tensor]:
        """Value, then gradients of nonlinear functions of the gradients before."""
        torch.manual_seed(1)
        found = [convolve(*tensors, edges, plan)]  # type: ignore[operator]
        for _ in range(3):
            scalar = sum((value * torch.rand_like(value)).square().sum() for value in found[-3:])
            found += torch.autograd.grad(scalar, tensors, create_graph=True)
        return found

    tolerance = 2e-4 if dtype == torch.float32 else 1e-11
    for ours, expected in zip(
        derivatives(operators.convolve), derivatives(reference.convolve), strict=True
    ):
        scale = float(expected.abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * max(scale, 1.0))


@pytest.mark.parametrize("plan", [PLANS["unequal channels"]])
def test_gradcheck_and_gradgradcheck(plan: Plan) -> None:
    tensors, edges = random_arguments(plan, 3, 5)

    def function(*arguments: Tensor) -> Tensor:
        return operators.convolve(*arguments, edges, plan)

    assert torch.autograd.gradcheck(function, tensors)
    assert torch.autograd.gradgradcheck(function, tensors)


def test_registration() -> None:
    """Schema, fake implementation and autograd rule of every operator, as PyTorch checks them."""
    plan = PLANS["unequal channels"]
    tensors, edges = random_arguments(plan, 4, 7)
    rest = (*edges, *operators._flat(plan))
    g = torch.randn(4, plan.output_size, dtype=torch.float64, requires_grad=True)
    tangents = [torch.randn_like(tensor, requires_grad=True) for tensor in tensors]
    for name, arguments in {
        "forward": tensors,
        "backward": [g, *tensors],
        "double_forward": [*tensors, *tangents],
        "double_backward": [g, *tensors, *tangents],
    }.items():
        operator = getattr(torch.ops.molnet, f"convolution_{name}").default
        torch.library.opcheck(
            operator,
            (*arguments, *rest),
            test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
        )


def test_arguments_that_are_not_contiguous() -> None:
    plan = PLANS["17 channels"]
    (x, M, w), edges = random_arguments(plan, 5, 9)
    strided = [tensor.detach().t().contiguous().t() for tensor in (x, M, w)]
    assert not any(tensor.is_contiguous() for tensor in strided)
    assert torch.equal(
        operators.convolve(*strided, edges, plan), operators.convolve(x, M, w, edges, plan)
    )


def test_number_of_threads_changes_nothing() -> None:
    plan = PLANS["unequal channels"]
    tensors, edges = random_arguments(plan, 40, 300)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = operators.convolve(*tensors, edges, plan)
            results.append([out, *torch.autograd.grad(out.square().sum(), tensors)])
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
