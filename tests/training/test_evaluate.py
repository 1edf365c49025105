"""Records of a run that were damaged end an evaluation in one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from molnet.datasets.splits import SplitError
from molnet.training.config import ConfigError
from molnet.training.evaluate import evaluate


@pytest.fixture
def run(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    "data",
    [b"", b"a: b: c", b"\xff\xfe\x00", b"- 1\n", b"dataset: 3\n", b"{", b"dataset: ${nothing}\n"],
)
def test_a_damaged_record_of_the_data_set_is_named(run: Path, data: bytes) -> None:
    (run / "config.yaml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"config\.yaml is damaged.*Name labelled files, "):
        evaluate(OmegaConf.create({"model": str(run), "run_folder": str(run / "e")}))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"dataset_checksum": "0"}'])
def test_a_damaged_split_is_named(run: Path, data: bytes) -> None:
    (run / "split.json").write_bytes(data)
    with pytest.raises(SplitError, match=r"split\.json is not a split file, or is damaged"):
        evaluate(OmegaConf.create({"model": str(run), "run_folder": str(run / "e")}))


def test_errors_by_a_column_that_is_named(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    settings = {"model": str(run), "run_folder": str(run / "e"), "by": "number"}
    metrics = evaluate(OmegaConf.create(settings))
    assert len(metrics["by_column"]["test"]["number"]) == metrics["test"]["energy"]["count"] == 8
    assert "by number (worst 6 of 8)" in caplog.text
    settings |= {"run_folder": str(run / "f"), "by": "nmae"}
    with pytest.raises(ConfigError, match=r"by=nmae: no structure .* Found: .*name, number"):
        evaluate(OmegaConf.create(settings))
