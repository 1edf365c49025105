"""What a run has recorded as text is read, or told to be damaged in one line."""

from pathlib import Path

import pytest

from molnet.training.errors import ConfigError
from molnet.training.recorded import recorded_settings
from molnet.training.results import METRICS, read_metrics


def test_settings_come_back(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\ndataset: {name: a}\n")
    assert recorded_settings(tmp_path / "config.yaml") == {"seed": 1, "dataset": {"name": "a"}}


@pytest.mark.parametrize("data", [b"a: b: c", b"\xff\xfe\x00", b"- 1\n", b"{", b"\0", b"a: ${b"])
def test_damaged_settings_are_named_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"^[^\n]*config\.yaml is damaged: [^\n]+$"):
        recorded_settings(tmp_path / "config.yaml")


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff"])
def test_damaged_errors_are_as_good_as_none(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_metrics(tmp_path) is None
    assert caplog.messages == []
    (tmp_path / METRICS).write_bytes(data)
    assert read_metrics(tmp_path) is None
    assert "metrics.json is damaged" in caplog.text
