"""The benchmark runs, and what it compares does the same work."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import ase.io
import pytest
import torch
from ase.build import molecule

MODEL = ["--channels", "2", "--layers", "2", "--l-max", "1", "--molecules", "1", "3"]
SMALL = {
    "o3": ["--batch", "4", "--channels", "2"],
    "convolution": ["--nodes", "5", "--neighbours", "2", "--channels", "2"],
    "train": MODEL,
    "evaluate": MODEL,
}


@pytest.fixture
def benchmark(on_path: None) -> ModuleType:
    script = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
    spec = importlib.util.spec_from_file_location("benchmark", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(benchmark: ModuleType, frames: Path) -> Iterator[Callable[..., list]]:
    """The program with small sizes; what it sets for the whole process is set back."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()

    def run(command: str, *arguments: str) -> list:
        small = SMALL[command]
        if small is MODEL and "--frames" not in arguments:
            small = [*small, "--frames", str(frames)]
        return benchmark.main([command, *small, "--repeats", "1", *arguments])

    yield run
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames") / "molecules.xyz"
    ase.io.write(path, [molecule(name) for name in ("H2O", "CH4", "CH3OH", "NH3")])
    return path


@pytest.mark.parametrize("command", SMALL)
def test_small_sizes(
    command: str,
    run: Callable[..., list],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, image = tmp_path / "timings.json", tmp_path / "timings.png"
    timings = run(command, "--json", str(file), "--plot", str(image))
    printed = capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["machine"] in printed
    assert all(timing.name in printed for timing in timings)
    assert [row["name"] for row in written["timings"]] == [timing.name for timing in timings] != []
    assert all(row["medians"].keys() == {"molnet", "e3nn"} for row in written["timings"])
    assert image.read_bytes().startswith(b"\x89PNG")


def test_energies_alone(run: Callable[..., list], capsys: pytest.CaptureFixture[str]) -> None:
    run("train", "--targets", "energy", "--dtype", "float64")
    printed = capsys.readouterr().out
    assert "float64" in printed
    assert "110,000 molecules take" in printed


def test_thread_scaling(run: Callable[..., list]) -> None:
    threads = torch.get_num_threads()
    (timing, _) = run("train", "--thread-scaling")
    assert timing.medians.keys() == {"2 threads", "1 thread"}
    assert torch.get_num_threads() == threads


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
