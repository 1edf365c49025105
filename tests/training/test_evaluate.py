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
    with pytest.raises(ConfigError, match=r"config\.yaml is damaged.*Choose a data set with"):
        evaluate(OmegaConf.create({"model": str(run), "run_folder": str(run / "e")}))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"dataset_checksum": "0"}'])
def test_a_damaged_split_is_named(run: Path, data: bytes) -> None:
    (run / "split.json").write_bytes(data)
    with pytest.raises(SplitError, match=r"split\.json is not a split file, or is damaged"):
        evaluate(OmegaConf.create({"model": str(run), "run_folder": str(run / "e")}))
