"""What the tests of the scripts share."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts' own modules can be imported, as they can when Python runs a script."""
    monkeypatch.syspath_prepend(SCRIPTS)
