"""The benchmark runs, and both sides of every comparison do the same amount of work."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("what", ["o3", "convolution"])
def test_small_sizes(
    benchmark: ModuleType, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--batch", "4", "--nodes", "5", "--neighbours", "2", "--channels", "2"]
    file = tmp_path / "timings.json"
    timings = benchmark.main([what, *sizes, "--repeats", "1", "--json", str(file)])
    printed = capsys.readouterr().out
    assert all(timing.name in printed for timing in timings)
    assert len(json.loads(file.read_text())["timings"]) == len(timings) > 0
