"""``report.html`` of runs and evaluations."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from molnet import report
from molnet.datasets import qm9
from molnet.training import run as run_module
from molnet.training.error_section import _groups
from molnet.training.evaluate import evaluate
from molnet.training.page import run_page
from molnet.training.run import train
from tests.report.harness import Page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(finished: tuple[Path, dict[str, Any]]) -> Page:
    return Page(finished[0] / "report.html")


def test_the_page_has_the_errors_curves_settings_and_versions(
    page: Page, finished: tuple[Path, dict[str, Any]]
) -> None:
    assert page.misplaced == []
    test = finished[1]["test"]
    assert f"{test['forces']['mae']:.4g}" in page.text
    assert f"{test['energy_per_atom']['rmse']:.4g}" in page.text
    for expected in ("Learning curves", "Potential energy", "energy in eV", "trainer.max_epochs"):
        assert expected in page.text
    assert finished[1]["versions"]["torch"] in page.text
    assert len(page.source) < 1_500_000


def test_the_points_are_the_components_of_the_forces_with_their_names(
    page: Page, finished: tuple[Path, dict[str, Any]]
) -> None:
    (points,) = (
        data
        for data in _drawn(page)
        if data.get("parity") and data["xLabel"].startswith("reference forces")
    )
    assert len(points["x"]) == finished[1]["test"]["forces"]["count"]
    errors = np.subtract(points["y"], points["x"])
    assert np.abs(errors).mean() == pytest.approx(finished[1]["test"]["forces"]["mae"], rel=1e-3)
    names = [
        re.fullmatch(r"structure (\d+) ?\w*, (\w+), atom (\d+) \((\w+)\)", n)
        for n in points["names"]
    ]
    assert all(names)
    structures = json.loads((finished[0] / "split.json").read_text())["test"]
    assert {int(name[1]) for name in names if name} == set(structures)


def test_worst_structures_come_with_errors_of_their_atoms(page: Page) -> None:
    (worst,) = (data for data in _drawn(page) if data.get("ofAtoms", "").startswith("meV/Å"))
    mean = []
    for structure in worst["structures"]:
        assert len(structure["values"]) == len(structure["symbols"])
        mean.append(np.mean(structure["values"]))
    assert len(mean) > 3
    assert mean[0] > mean[-1]


def test_evaluation_writes_its_page(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    config = {"model": str(finished[0]), "run_folder": str(tmp_path), "split": "all"}
    metrics = evaluate(OmegaConf.create(config))
    page = Page(tmp_path / "report.html")
    assert f"{metrics['all']['forces']['mae']:.4g}" in page.text
    assert "Learning curves" not in page.text


@pytest.mark.parametrize(
    ("target", "unit", "expected"),
    [
        ("charges", "e", "Partial charges"),
        ("polarizability", "Å^3", "Polarizability tensor"),
        ("homo", "eV", "homo: energy of the HOMO"),
    ],
)
def test_every_kind_of_property_has_its_section(
    target: str,
    unit: str,
    expected: str,
    settings: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "run_page", run_page)
    config = settings(f"target={target}", "model.l_max=2", "trainer.max_epochs=1")
    label = {"key": target, "unit": unit}
    OmegaConf.update(config, f"dataset.labels.{target}", label, force_add=True)
    train(config)
    page = Page(tmp_path / "run" / "report.html")
    assert expected in page.text
    assert len([data for data in _drawn(page) if data.get("parity")]) == 1


def test_structures_without_a_volume_have_no_stress_to_show(
    crystals: Path,
    settings: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "run_page", run_page)
    config = settings(
        "target=energy_forces_stress",
        f"dataset.path={crystals}",
        "dataset.labels.stress.unit=eV/Å^3",
        "dataset.train_size=6",
        "dataset.validation_size=2",
        "trainer.max_epochs=1",
        "optimizer.lr=1e-5",
    )
    metrics = train(config)
    page = Page(tmp_path / "run" / "report.html")
    stress = [data for data in _drawn(page) if "stress" in str(data.get("xLabel"))]
    assert len(stress[0]["x"]) == metrics["test"]["stress"]["count"]
    viewers = [data for data in _drawn(page) if "ofAtoms" in data]
    assert all(structure["cells"] for structure in viewers[-1]["structures"])


def test_an_error_in_the_page_costs_no_results(
    settings: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("a mistake in a page")

    monkeypatch.setattr(run_module, "run_page", run_page)
    monkeypatch.setattr(report, "write", broken)
    with caplog.at_level(logging.INFO):
        metrics = train(settings())
    assert metrics["test"]["forces"]["mae"] > 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"] == metrics["test"]
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "report.html could not be written. All other results are saved" in record.getMessage()
    assert record.exc_info is not None
    assert "next:" in caplog.text


def test_errors_are_given_by_the_columns_of_the_data(page: Page) -> None:
    captions = re.findall(r"By ([\w ]+), mean over structures", page.text)
    assert captions[:1] == ["number of atoms"]
    assert "name" in captions


def test_columns_are_grouped_by_value_or_in_ranges() -> None:
    few = _groups(np.array([3, 5, 3]))
    assert {name: places.tolist() for name, places in few.items()} == {"3": [0, 2], "5": [1]}
    numbers = np.arange(60)
    ranges = _groups(numbers)
    assert [len(places) for places in ranges.values()] == [11, 10, 10, 9, 10, 10]
    assert next(iter(ranges)) == "0 to 10"
    assert sorted(np.concatenate(list(ranges.values()))) == numbers.tolist()
    words = _groups(np.array([f"{i % 20}" for i in range(100)] + ["3"] * 5))
    assert len(words) == 20
    assert len(words["3"]) == 10


def _drawn(page: Page) -> list[dict[str, Any]]:
    return [json.loads(script) for script in page.scripts if script.startswith('{"')]


@pytest.mark.slow
def test_the_page_of_all_properties_of_qm9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if qm9._package_folder() is None:
        pytest.skip('needs qm9pack: pip install -e ".[qm9]"')
    monkeypatch.chdir(tmp_path)
    options = ["trainer=default", "trainer.max_epochs=1", "model=small", "callbacks.ema_decay=null"]
    sizes = [f"dataset.{part}_size=300" for part in ("train", "validation", "test")]
    run = [sys.executable, str(ROOT / "scripts" / "train.py"), f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [*run, "dataset=qm9", "target=qm9", *options, *sizes],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Please report this error" not in done.stdout
    page = Page(tmp_path / "run" / "report.html")
    assert len([data for data in _drawn(page) if data.get("parity")]) == 12
