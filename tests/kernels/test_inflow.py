"""Sums over arriving and leaving edges, against PyTorch's own."""

import pytest
import torch

from molnet.kernels import compiler, net_inflow

SENDERS, RECEIVERS = torch.tensor([2, 0, 1, 1]), torch.tensor([0, 0, 2, 3])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_sums(compiled: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(compiler, "library", lambda *_: None)
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    # Strided, as a transposed tensor is.
    found = net_inflow(values.t().contiguous().t(), SENDERS.to(dtype), RECEIVERS.to(dtype), 5)
    expected = [[1.0, 2.0], [-12.0, -14.0], [4.0, 4.0], [7.0, 8.0], [0.0, 0.0]]
    assert found.tolist() == expected
    none = net_inflow(values[:0], SENDERS[:0].to(dtype), RECEIVERS[:0].to(dtype), 2)
    assert none.tolist() == [[0.0, 0.0]] * 2


def test_derivatives_of_any_order() -> None:
    values = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)

    def sums(values: torch.Tensor) -> torch.Tensor:
        return net_inflow(values, SENDERS, RECEIVERS, 5)

    assert torch.autograd.gradcheck(sums, values)
    assert torch.autograd.gradgradcheck(sums, values)
    torch.testing.assert_close(
        torch.func.jacrev(sums)(values), torch.autograd.functional.jacobian(sums, values)
    )
