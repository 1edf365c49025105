"""What a run prints."""

import sys
from pathlib import Path

import pytest

from molnet.training.config import TrainerConfig
from molnet.training.metrics import ErrorSummary
from molnet.training.report import already_finished, error_table, next_commands, written_files


def test_errors_stand_by_part_and_property_with_their_units() -> None:
    def errors(scale: float) -> dict[str, ErrorSummary]:
        return {
            "energy_per_atom": ErrorSummary(scale, 2 * scale, 7, "meV/atom"),
            "forces": ErrorSummary(1234.5 * scale, 4321 * scale, 1000, "meV/Å"),
        }

    table = error_table({"train": errors(1.0), "validation": errors(1.5), "test": errors(2.0)})
    assert table.splitlines() == [
        "                           train  validation  test  test",
        "errors           unit        MAE         MAE   MAE  RMSE  values",
        "────────────────────────────────────────────────────────────────",
        "energy per atom  meV/atom      1         1.5     2     4       7",
        "forces           meV/Å      1234        1852  2469  8642   1,000",
    ]


@pytest.mark.parametrize(
    ("limits", "longer"),
    [
        (TrainerConfig(max_epochs=20), "trainer.max_epochs=40"),
        (TrainerConfig(max_time="45m"), "trainer.max_time=1h30m"),
        (TrainerConfig(max_steps=5, max_time="1d"), "trainer.max_steps=10 trainer.max_time=2d"),
    ],
)
def test_the_next_commands_name_this_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limits: TrainerConfig, longer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/molnet", "train"])
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    folder = tmp_path / "outputs" / "my run"
    assert next_commands(folder, limits).splitlines() == [
        "next:",
        "  molnet predict 'model=outputs/my run' FILE",
        "  molnet evaluate 'model=outputs/my run' split=all",
        f"  molnet train 'resume=outputs/my run' {longer}",
    ]
    assert "model=/elsewhere FILE" in next_commands(Path("/elsewhere"), limits)
    assert f"resume=outputs/my run' {longer}\n" in already_finished(folder, limits)


def test_only_files_that_are_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "test_forces.png").touch()
    names = [line.split()[0] for line in written_files(tmp_path).splitlines()]
    assert names == ["in", "model/", "test_*.png"]
