"""Names of a package that are imported on first use."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = """
from molnet.lazy import on_first_use

__getattr__ = on_first_use(
    __name__, {"part": ["Here", "There as Elsewhere"]}, ["other"]
)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    folder = tmp_path / "slow_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "part.py").write_text("Here, There = object(), object()\n")
    (folder / "other.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    import slow_package

    yield slow_package
    for name in [name for name in sys.modules if name.startswith("slow_package")]:
        del sys.modules[name]


def test_names_are_imported_when_they_are_used(package: ModuleType) -> None:
    assert "slow_package.part" not in sys.modules
    assert package.Elsewhere is sys.modules["slow_package.part"].There
    assert vars(package)["Elsewhere"] is package.Elsewhere  # and not looked up again
    assert package.other is sys.modules["slow_package.other"]


def test_other_names_are_none(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="'slow_package' has no attribute 'There'"):
        _ = package.There
