"""What the tests of the scripts share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts' own modules can be imported, as they can when Python runs a script."""
    monkeypatch.syspath_prepend(SCRIPTS)


@pytest.fixture
def benchmark(on_path: None) -> ModuleType:
    """`scripts/benchmark.py` as a module."""
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPTS / "benchmark.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
