"""A page with every kind of block."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule

from molnet import report
from tests.report.harness import HOSTILE, Page


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every block, and text that means harm wherever text can stand."""
    rng = np.random.default_rng(0)
    ethanol, salt = molecule("CH3CH2OH"), bulk("NaCl", "rocksalt", 5.64, cubic=True)
    frames = []
    for step in range(30):
        frames.append(ethanol.copy())
        frames[-1].positions += 0.05 * np.sin(step / 3 + np.arange(len(ethanol)))[:, None]
    reference, times = rng.normal(0, 500, 300), np.arange(30) * 0.5
    many = rng.normal(0, 500, 9000)
    names = [f"structure {i}, {HOSTILE}" for i in range(9000)]
    structures = [
        report.Structure(HOSTILE, ethanol, {HOSTILE: 12.5, "formula": HOSTILE}, rng.random(9)),
        report.Structure("salt", salt, {HOSTILE: 3.5, "formula": "Na4Cl4"}, rng.random(8)),
    ]
    sections = [
        report.Section(
            f"Charts {HOSTILE}",
            [
                report.Lines([1, 2, 3], {HOSTILE: [3, 2, 1], "b": [5, np.nan, 1]}, "x", HOSTILE),
                report.Lines([1, 2, 3], {"a": [300, 20, 1]}, "x", "y", log=True),
                report.Points(reference, reference + 3, HOSTILE, "y", names[:300], parity=True),
                report.Points(many, many**2, "x", "y", names),
                report.Histogram(rng.normal(size=500), HOSTILE, caption=HOSTILE),
                report.Bars({HOSTILE: 3.0, "C": 2.5}, "MAE (meV)", counts={HOSTILE: 3, "C": 5}),
                report.Bands(
                    [np.outer(np.sin(np.linspace(0, 1.5, 9)), [1, 2]) for _ in range(3)],
                    [1.0, 0.5, 2.0],
                    ["Γ", HOSTILE, "U", "K", "Γ"],
                    [True, False, False],
                    np.linspace(-1, 2, 50),
                    rng.random(50),
                    "frequency (cm⁻¹)",
                ),
            ],
            text=HOSTILE,
        ),
        report.Section("Structures", [report.Structures(structures, HOSTILE)]),
        report.Section(
            "Trajectory",
            [report.Trajectory(frames, times, {HOSTILE: times**2}, f"time {HOSTILE}")],
        ),
        report.Section(
            "Modes",
            [
                report.Modes(
                    ethanol,
                    np.linspace(-100, 3600, 21),
                    rng.normal(size=(21, 9, 3)),
                    rng.uniform(0, 80, 21),
                )
            ],
        ),
        report.Section(
            "Tables",
            [
                report.Facts({"trainer": {"lr": 0.01, HOSTILE: HOSTILE}, "seed": None}),
                report.Table([HOSTILE, "n"], [[HOSTILE, 1200]]),
            ],
            folded=True,
        ),
        report.Section("nothing here", []),
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    return report.write(path, HOSTILE, sections, {HOSTILE: HOSTILE}, HOSTILE)


@pytest.fixture(scope="session")
def page(page_file: Path) -> Page:
    """The same page, taken apart."""
    return Page(page_file)
