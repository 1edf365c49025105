"""Plots are drawn for whatever numbers a run may give."""

from pathlib import Path

import numpy as np
import pytest

from molnet.properties import get_property
from molnet.training.metrics import ErrorSummary
from molnet.training.plots import plot_learning_curves, plot_parity


@pytest.mark.parametrize("count", [1, 100, 5000])
@pytest.mark.parametrize("name", ["energy", "gap"])
def test_parity_of_few_and_many_values(count: int, name: str, tmp_path: Path) -> None:
    reference = np.random.default_rng(0).normal(size=count)
    path = tmp_path / "parity.png"
    summary = ErrorSummary(0.0, 0.0, count, "meV")
    plot_parity(get_property(name), reference, reference.copy(), summary, path)
    assert path.stat().st_size > 10_000


def test_learning_curves_of_a_single_epoch(tmp_path: Path) -> None:
    row = {"epoch": 1, "learning_rate": 1e-3}
    for part in ("train", "validation"):
        row |= {f"{part}/loss": 1.0, f"{part}/energy_mae (meV)": 20.0}
    path = tmp_path / "curves.png"
    plot_learning_curves([row], path)
    assert path.stat().st_size > 10_000
