"""The benchmark runs, and what it compares does the same work."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.neighborlist import neighbor_list

from molnet.datasets.download import DownloadError
from molnet.datasets.qm9 import QM9Error

MODEL = ["--channels", "2", "--layers", "2", "--l-max", "1"]
SMALL = {
    "o3": ["--batch", "4", "--channels", "2"],
    "convolution": ["--molecules", "2", "--channels", "2"],
    "train": [*MODEL, "--molecules", "1", "3"],
    "evaluate": [*MODEL, "--molecules", "1", "3"],
    "md": ["--steps", "3"],
    "relax": ["--molecules", "4", "--fmax", "0.05"],
    "vibrations": ["--molecules", "3"],
    "scaling": [*MODEL, "--atoms", "24", "--repeats", "1"],
    "knots": [*MODEL, "--knots", "64", "128", "256", "--networks", "2"],
}
ON_FRAMES = {"convolution", "train", "evaluate", "md", "relax", "vibrations"}
PNG = b"\x89PNG"


@pytest.fixture
def run(benchmark: ModuleType, frames: Path) -> Iterator[Callable[..., list]]:
    """The program with small sizes; what it sets for the whole process is set back."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()

    def run(command: str, *arguments: str) -> list:
        where = ["--frames", str(frames)] if command in ON_FRAMES else []
        return benchmark.main([command, *SMALL[command], *where, *arguments])

    yield run
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "molecules.xyz"
    ase.io.write(path, [molecule(name) for name in ("H2O", "CH4", "CH3OH", "NH3")])
    return path


@pytest.mark.parametrize("command", ["o3", "convolution", "train", "evaluate"])
def test_comparisons(
    command: str,
    run: Callable[..., list],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, image = tmp_path / "timings.json", tmp_path / "timings.png"
    timings = run(command, "--repeats", "1", "--json", str(file), "--plot", str(image))
    printed = capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["machine"] in printed
    assert all(timing.name in printed for timing in timings)
    assert [row["name"] for row in written["results"]] == [timing.name for timing in timings] != []
    assert all(row["medians"].keys() == {"molnet", "e3nn"} for row in written["results"])
    assert image.read_bytes().startswith(PNG)


def test_relaxations_end_in_the_same_minima(
    run: Callable[..., list], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "relaxations.json"
    (result,) = run("relax", "--json", str(file))
    assert result.molecules == 4
    assert result.unconverged == result.unconverged_of_ase == 0
    assert result.same_minimum == 4
    assert "energies within 1 meV: 4 of 4" in capsys.readouterr().out
    assert json.loads(file.read_text())["results"][0]["steps"] == result.steps > 0


def test_hessians_and_frequencies(run: Callable[..., list], tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    file = tmp_path / "frequencies.json"
    (result,) = run("vibrations", "--xtb", "1", "--json", str(file))  # of water
    assert result.modes == 3 + 9 + 12
    assert 0 < result.hessian < 1e-4
    assert result.with_xtb == 1
    assert 0 < result.mean <= result.largest < 100
    assert json.loads(file.read_text())["results"][0]["mean"] == result.mean


def test_turns_of_many_calls(on_path: None) -> None:
    """Short work is called until its turn is over, long work once; times are of one call."""
    from benchmarking.timing import WARM_UP, Comparison, measure

    calls = {"short": 0, "long": 0}

    def sleep(column: str, seconds: float) -> None:
        calls[column] += 1
        time.sleep(seconds)

    work = {"short": lambda: sleep("short", 0.002), "long": lambda: sleep("long", 0.02)}
    timing = measure(Comparison("sleep", work), repeats=1, turn=15)
    turns = 1 + WARM_UP
    assert calls["long"] == turns
    assert turns < calls["short"] <= 8 * turns
    assert 2 <= timing.medians["short"] < 15
    calls["short"] = 0
    measure(Comparison("sleep", work), repeats=1, turn=0)
    assert calls["short"] == turns


def test_energies_alone(run: Callable[..., list], capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "--repeats", "1", "--targets", "energy", "--dtype", "float64")
    printed = capsys.readouterr().out
    assert "float64" in printed
    assert "110,000 molecules take" in printed


def test_thread_scaling(run: Callable[..., list]) -> None:
    threads = torch.get_num_threads()
    (timing, _) = run("train", "--repeats", "1", "--thread-scaling")
    assert timing.medians.keys() == {"2 threads", "1 thread"}
    assert torch.get_num_threads() == threads


def test_dynamics(run: Callable[..., list], tmp_path: Path) -> None:
    file, image = tmp_path / "timings.json", tmp_path / "timings.png"
    (timing,) = run("md", "--json", str(file), "--plot", str(image))
    assert timing.name == "H2O, 3 atoms"
    assert 0 < timing.medians["its model"] < timing.medians["molnet"]
    assert json.loads(file.read_text())["results"] == [timing.as_row()]
    assert image.read_bytes().startswith(PNG)


def test_dynamics_of_others_run_in_their_environments(
    run: Callable[..., list], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment is a program here that prints what the real one would."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho a warning\necho '[7.5]'\n")
    python.chmod(0o755)
    (timing,) = run("md", "--python", f"mace={python}")
    assert timing.medians["MACE"] == 7.5

    python.write_text("#!/bin/sh\necho no module named mace >&2\nexit 1\n")
    with pytest.raises(SystemExit):
        run("md", "--python", f"mace={python}")
    assert "dynamics with MACE" in capsys.readouterr().err


def test_scaling(run: Callable[..., list], tmp_path: Path) -> None:
    from benchmarking.scaling import water

    file, image = tmp_path / "growth.json", tmp_path / "growth.png"
    (growth,) = run("scaling", "--cutoff", "3.5", "--json", str(file), "--plot", str(image))
    assert growth.atoms == 24
    assert growth.neighbours == len(neighbor_list("i", water(2), 3.5)) / 24
    assert json.loads(file.read_text())["results"] == [growth._asdict()]
    assert image.read_bytes().startswith(PNG)


def test_errors_of_splines(
    run: Callable[..., list], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values' fall with the fourth power of the spacing, slopes' with the third."""
    file, image = tmp_path / "fits.json", tmp_path / "fits.png"
    fits = run("knots", "--dtype", "float64", "--json", str(file), "--plot", str(image))
    printed = capsys.readouterr().out
    assert [fit.knots for fit in fits] == [64, 128, 256]
    assert all(f"{100 * fit.value_rms:.3g}" in printed for fit in fits)
    assert json.loads(file.read_text())["results"] == [fit.as_row() for fit in fits]
    assert image.read_bytes().startswith(PNG)
    for coarse, fine in pairwise(fits):
        for name, order in (("value_rms", 4), ("slope_rms", 3)):
            ratio = getattr(coarse, name) / getattr(fine, name)
            assert ratio > 0.8 * 2**order, f"{name}, {fine.knots} knots"


def test_box_of_water(on_path: None) -> None:
    """Whole molecules, none too near another, at water's density."""
    from benchmarking.scaling import water

    box = water(3)
    distances = box.get_all_distances(mic=True)
    bonds = (distances < 1.05) & (distances > 0)
    assert box.get_chemical_formula() == "H54O27"
    assert (bonds.sum(axis=1) == 1 + (box.numbers == 8)).all()
    apart = np.arange(81)[:, None] // 3 != np.arange(81) // 3
    assert distances[apart].min() > 1.1
    assert box.get_masses().sum() / box.get_volume() * 1.66054 == pytest.approx(1.0, abs=0.01)


def test_steps_train_and_evaluations_leave_weights_alone(
    benchmark: ModuleType, frames: Path
) -> None:
    from benchmarking.steps import Batches, evaluation, training_step
    from benchmarking.systems import Size

    structures = ase.io.read(frames, ":")
    batches = Batches(structures, [4], Size(4.0, 1, 2, 2), torch.float32, True, [])
    (graph,) = batches.graphs()
    for model in batches.models().values():
        step = training_step(model, graph)
        losses = [float(step()) for _ in range(200)]
        assert losses[-1] < losses[0]
        weights = [weight.clone() for weight in model.parameters()]
        evaluate = evaluation(model, graph)
        first = evaluate()
        assert set(first) == {"energy", "forces"}
        assert not any(value.requires_grad for value in first.values())
        assert all(map(torch.equal, weights, model.parameters()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--molecules", "9"], "from 1 to 4"),
        (["--frames", "nowhere.xyz"], "nowhere.xyz"),
        (["--peers", "nequip"], "needs the package nequip"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    arguments: list[str],
    message: str,
    run: Callable[..., list],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nequip", None)  # not installed
    with pytest.raises(SystemExit):
        run("train", *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("error", [QM9Error, DownloadError])
def test_a_missing_qm9_is_said_in_a_line(
    error: type[Exception],
    benchmark: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise error("could not be downloaded")

    monkeypatch.setattr("molnet.datasets.qm9.open_qm9", missing)
    with pytest.raises(SystemExit):
        benchmark.main(["train", "--qm9"])
    assert "could not be downloaded" in capsys.readouterr().err
