"""Checks that need a GPU: ``pytest -m gpu``. Without one they are skipped."""

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that PyTorch can use")
    return torch.device("cuda")
