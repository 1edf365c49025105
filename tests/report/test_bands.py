"""Band structures: where the lines begin, and what the axis says."""

import numpy as np
import pytest

from molnet import report


def bands(**changes: object) -> report.Bands:
    lines = [np.linspace([0.0, 1.0], [2.0, 3.0], 5), np.linspace([2.0, 3.0], [0.0, 9.0], 3)]
    options: dict[str, object] = {
        "bands": lines,
        "lengths": [2.0, 1.0],
        "labels": ["Γ", "X", "M"],
        "connected": [True, False],
        "levels": [0.0, 1.0, 2.0],
        "density": [0.0, 5.0, 1.0],
        "y_label": "frequency (cm⁻¹)",
    }
    return report.Bands(**{**options, **changes})  # type: ignore[arg-type]


def test_lines_follow_each_other() -> None:
    data = bands().data()
    assert [line["x"].tolist() for line in data["lines"]] == [[0, 0.5, 1, 1.5, 2], [2, 2.5, 3]]
    assert data["lines"][1]["bands"].tolist() == [[2.0, 1.0, 0.0], [3.0, 6.0, 9.0]]
    assert data["ticks"] == [(0.0, "Γ"), (2.0, "X"), (3.0, "M")]


def test_both_points_of_a_jump_are_named() -> None:
    ticks = bands(labels=["Γ", "U", "K", "L"], connected=[False, False]).data()["ticks"]
    assert ticks == [(0.0, "Γ"), (2.0, "U|K"), (3.0, "L")]


def test_many_bands_lose_points_not_ends() -> None:
    lines = [np.arange(200.0 * 1000).reshape(200, 1000)] * 2
    data = bands(bands=lines).data()
    sizes = [line["bands"].size for line in data["lines"]]
    assert sum(sizes) <= 60_000
    for line, x in zip(data["lines"], ([0, 2], [2, 3]), strict=True):
        assert [line["x"][0], line["x"][-1]] == pytest.approx(x)
        assert line["bands"][:, -1].tolist() == lines[0][-1].tolist()
