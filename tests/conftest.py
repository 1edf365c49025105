"""Fixtures that every part of the test suite may use."""

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from molnet import o3


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of published labelled sets beside the checkout; tests that need it skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the published sets in {folder}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C works in the tests even where a shell started them in the background without it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def float64() -> Iterator[None]:
    """Make new modules and tensors float64, constants of oracles included."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def equivariance_error() -> Callable[..., float]:
    """How far a function is from commuting with rotations and inversion, in float64.

    The fixture is a function ``(f, irreps_in, irreps_out, layout="mul_ir")``; ``irreps_in`` lists
    the irreps of each argument. It returns the largest component of f(D x) - D f(x).
    """

    def rotated(x: torch.Tensor, irreps: o3.Irreps, R: torch.Tensor, layout: o3.Layout):
        x = o3.change_layout(x, irreps, layout, "mul_ir")
        return o3.change_layout(x @ irreps.D_from_matrix(R).T, irreps, "mul_ir", layout)

    def error(
        f: Callable[..., torch.Tensor],
        irreps_in: Sequence[o3.Irreps | str],
        irreps_out: o3.Irreps | str,
        layout: o3.Layout = "mul_ir",
    ) -> float:
        inputs = [o3.Irreps(irreps) for irreps in irreps_in]
        xs = [irreps.randn(5, -1, dtype=torch.float64) for irreps in inputs]
        worst = 0.0
        for inversion in (1, -1):
            R = inversion * o3.rand_matrix(dtype=torch.float64)
            before = f(
                *(rotated(x, irreps, R, layout) for x, irreps in zip(xs, inputs, strict=True))
            )
            after = rotated(f(*xs), o3.Irreps(irreps_out), R, layout)
            worst = max(worst, (before - after).abs().max().item())
        return worst

    return error
