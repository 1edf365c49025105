"""The parts of the package import each other in one direction, and libraries have homes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    [
        *(ROOT / "molnet").rglob("*.py"),
        *(ROOT / "scripts").glob("*.py"),
        *(ROOT / "scripts" / "sampling").glob("*.py"),
    ]
)

FOR_ALL = {
    *{
        "__version__",
        "bundled",
        "cache",
        "inputs",
        "lazy",
        "nearest",
        "progress",
        "properties",
        "stored",
        "tables",
        "units",
    }
}

MAY_IMPORT = {
    "bundled": set(),
    "cache": set(),
    "inputs": set(),
    "lazy": set(),
    "nearest": set(),
    "units": set(),
    "progress": set(),
    "properties": set(),
    "stored": set(),
    "tables": set(),
    "kernels": set(),
    "o3": {"kernels"},
    "nn": {"kernels", "o3"},
    "graph": set(),
    "models": {"kernels", "o3", "nn", "graph"},
    "datasets": {"graph"},
    "simulate": {"graph", "models"},
    "report": set(),
    "training": {"kernels", "graph", "datasets", "models", "report"},
    "sweeps": {"training", "report"},
    "commands": {
        *{"kernels", "graph", "datasets", "models", "simulate", "training", "report", "sweeps"},
    },
    "scripts": {
        *{"kernels", "o3", "nn", "graph", "datasets", "models", "simulate", "training"},
        *{"commands", "report"},
    },
    "__init__": {
        *{"kernels", "o3", "nn", "graph", "datasets", "models", "simulate", "training"},
        "commands",
    },
    "__main__": {"commands"},
}
"""What each part may import of the others, besides :data:`FOR_ALL`."""

HOMES = {
    "ase": {"units", "graph", "datasets", "simulate", "report", "scripts"},
    "vesin": {"graph"},
    "torch_geometric": {"datasets", "training"},
    "safetensors": {"models"},
    "scipy": {"models", "simulate", "training", "scripts"},
    "phonopy": {"simulate"},
    "ctypes": {"kernels"},
    "subprocess": {"kernels", "datasets", "training"},
    "filelock": {"kernels", "simulate", "training", "sweeps"},
    "pytorch_lightning": {"training"},
    "torchmetrics": {"training"},
    "matplotlib": {"training"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "hydra": {"training", "sweeps", "commands"},
    "omegaconf": {"training", "sweeps", "commands"},
    "optuna": {"sweeps"},
    "sqlalchemy": {"sweeps"},
    "tblite": {"scripts"},
    "rdkit": {"scripts"},
    # The oracles of tests and benchmarks, and what would run code from a file.
    "e3nn": {"scripts"},
    "pickle": set(),
}
"""Where each library may be imported."""


def part_of(path: Path) -> str:
    """``"o3"`` for molnet/o3/irreps.py, ``"units"`` for molnet/units.py, ``"scripts"``."""
    first, *rest = path.relative_to(ROOT).with_suffix("").parts
    return rest[0] if first == "molnet" else first


def imported(source: str) -> Iterator[str]:
    """Every module that a source imports, with ``molnet.o3`` also for ``from molnet import o3``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("relative import")
            if node.module == "molnet":
                yield from (f"molnet.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def violations(part: str, source: str) -> list[str]:
    """Modules that a source of this part should not import."""
    wrong = []
    for module in imported(source):
        library, *inner = module.split(".")
        if library == "molnet":
            allowed = MAY_IMPORT[part] | FOR_ALL | {part}
            if inner and inner[0] not in allowed:
                wrong.append(module)
        elif part not in HOMES.get(library, {part}):
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    assert violations(part_of(path), path.read_text()) == []


def test_every_part_is_listed() -> None:
    assert {part_of(path) for path in SOURCES} <= MAY_IMPORT.keys()


def test_every_library_in_the_table_is_used_or_forbidden() -> None:
    used = {module.split(".")[0] for path in SOURCES for module in imported(path.read_text())}
    assert {library for library, homes in HOMES.items() if homes} <= used


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("o3", "from molnet.nn.gate import Gate"),
        ("nn", "from molnet import graph"),
        ("models", "import molnet.datasets"),
        ("graph", "def f():\n    from molnet.models import Model"),
        ("models", "import pytorch_lightning as pl"),
        ("training", "import ase.io"),
        ("o3", "from e3nn import o3"),
    ],
)
def test_wrong_imports_are_found(part: str, source: str) -> None:
    assert len(violations(part, source)) == 1
