"""Products on blocks in place: against a loop over rows, and derivatives of all orders."""

import pytest
import torch
from torch import Tensor

from molnet.kernels import compiler
from molnet.kernels.linear.blocks import BlockwiseMap, MapBlock, RowGroups
from molnet.kernels.linear.blockwise import LinearMap
from molnet.kernels.single import apply_step

# Two blocks add to the same outputs, one is wider than a panel and of odd size, and the last four
# outputs are reached by none.
MAP = BlockwiseMap(
    (
        MapBlock(1, 0, 3, 0, 37, 0, 0.5),
        MapBlock(1, 3, 5, 0, 37, 111, -2.0),
        MapBlock(3, 8, 7, 37, 2, 296, 1.5),
    ),
    dim_in=29,
    dim_out=47,
)
WEIGHT_NUMEL = 310


def apply(x: Tensor, weight: Tensor, groups: RowGroups | None = None) -> Tensor:
    return apply_step(LinearMap(MAP, groups is not None), x, weight, groups)


def by_loop(x: Tensor, weight: Tensor, group: Tensor | None) -> Tensor:
    rows = []
    for n in range(len(x)):
        w = weight if group is None else weight[group[n]]
        y = x.new_zeros(MAP.dim_out)
        for b in MAP.blocks:
            W = w[b.start_weight : b.start_weight + b.mul_in * b.mul_out].view(b.mul_in, b.mul_out)
            for m in range(b.components):
                part = x[n, b.start_in + m * b.mul_in : b.start_in + (m + 1) * b.mul_in]
                to = slice(b.start_out + m * b.mul_out, b.start_out + (m + 1) * b.mul_out)
                y[to] += b.alpha * part @ W
        rows.append(y)
    return torch.stack(rows) if rows else x.new_zeros(0, MAP.dim_out) * weight.sum()


@pytest.fixture(params=["compiled", "plain"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(compiler, "library", lambda *_: None)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("num_rows", [0, 1, 6, 61])
@pytest.mark.parametrize("num_groups", [None, 1, 3])
def test_equals_a_loop(num_rows: int, num_groups: int | None) -> None:
    x = torch.randn(num_rows, MAP.dim_in, dtype=torch.float64, requires_grad=True)
    shape = [WEIGHT_NUMEL] if num_groups is None else [num_groups, WEIGHT_NUMEL]
    weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    group = None if num_groups is None else torch.randint(num_groups, (num_rows,))
    groups = None if group is None or num_groups is None else RowGroups.of(group, num_groups)

    results = []
    for y in (apply(x, weight, groups), by_loop(x, weight, group)):
        gradients = torch.autograd.grad(y.sin().sum(), (x, weight), materialize_grads=True)
        results.append([y, *gradients])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.usefixtures("implementation")
def test_derivatives_of_second_order() -> None:
    x = torch.randn(5, MAP.dim_in, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, WEIGHT_NUMEL, dtype=torch.float64, requires_grad=True)
    groups = RowGroups.of(torch.tensor([1, 0, 1, 1, 0]), 2)

    def function(x: Tensor, weight: Tensor) -> Tensor:
        return apply(x, weight, groups)

    assert torch.autograd.gradcheck(function, (x, weight))
    assert torch.autograd.gradgradcheck(function, (x, weight))


def test_rows_that_are_not_contiguous() -> None:
    x = torch.randn(MAP.dim_in, 9, dtype=torch.float64).t()
    weight = torch.randn(WEIGHT_NUMEL, dtype=torch.float64)
    torch.testing.assert_close(
        apply(x, weight),
        apply(x.contiguous(), weight),
        rtol=0,
        atol=0,
    )


def test_number_of_threads_changes_little() -> None:
    x = torch.randn(200, MAP.dim_in, dtype=torch.float64)
    weight = torch.randn(WEIGHT_NUMEL, dtype=torch.float64, requires_grad=True)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            (gradient,) = torch.autograd.grad(apply(x, weight).square().sum(), weight)
            results.append(gradient)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-10)
