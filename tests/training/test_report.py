"""What a run prints."""

from pathlib import Path

import pytest

from molnet.training.report import next_commands, table


def test_tables_align_words_left_and_numbers_right() -> None:
    rows = [("a", "MAE", "RMSE", "unit", "values"), ("long name", "1", "2", "meV", "30")]
    assert table(rows).splitlines() == [
        "a          MAE  RMSE  unit  values",
        "long name    1     2  meV       30",
    ]


def test_the_next_commands_name_this_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = next_commands(tmp_path / "outputs" / "my run")
    assert "scripts/predict.py 'model=outputs/my run/model' 'input=outputs/my run/test" in text
    assert "scripts/evaluate.py model=/elsewhere/model" in next_commands(Path("/elsewhere"))
