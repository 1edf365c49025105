"""What a training shows, on terminals and without one."""

import csv
import io
import logging
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from pytorch_lightning import Trainer
from rich.console import Console

from molnet.training import progress
from molnet.training.budget import Budget
from molnet.training.interruption import RunInterrupted
from molnet.training.progress import ErrorColumns
from molnet.training.run import train

Settings = Callable[..., DictConfig]

ENERGY_AND_FORCES = {
    "train/loss": 2.0,
    "train/forces_mae (meV/Å)": 1.0,
    "validation/loss": 0.01234,
    "validation/energy_mae (meV)": 123.4567,
    "validation/energy_per_atom_mae (meV/atom)": 12.34567,
    "validation/forces_mae (meV/Å)": 45.678,
}


def shown(values: dict[str, float], width: int) -> list[str]:
    columns = ErrorColumns.that_fit(values, width)
    return [*columns.header().splitlines(), columns.line(12, 75.0, values, "best")]


def test_energy_and_forces_on_80_columns() -> None:
    assert shown(ENERGY_AND_FORCES, 80) == [
        "epoch    time    energy    forces      loss",
        "               meV/atom     meV/Å",
        "   12   1m15s     12.35     45.68   0.01234  best",
    ]


def test_the_loss_gives_way_on_40_columns() -> None:
    assert shown(ENERGY_AND_FORCES, 40) == [
        "epoch    time    energy    forces",
        "               meV/atom     meV/Å",
        "   12   1m15s     12.35     45.68  best",
    ]


def test_an_energy_without_forces_is_shown_as_a_whole() -> None:
    values = {name.replace("energy", "u0"): x for name, x in ENERGY_AND_FORCES.items()}
    del values["validation/forces_mae (meV/Å)"]
    assert shown(values, 80)[2] == "   12   1m15s     123.5   0.01234  best"


@pytest.mark.parametrize("width", [20, 40, 80, 132])
@pytest.mark.parametrize("error", [1.2345e-7, 0.0012345, 0.99999, 123456.0, 1e12, float("nan")])
def test_many_targets_of_any_name_fit(width: int, error: float) -> None:
    values = {f"validation/a_rather_long_name_{i}_mae (kcal/(mol K))": error for i in range(9)}
    lines = shown({"validation/loss": 1.0} | values, width)
    assert "a rather long…" in lines[0]
    assert "…" in lines[0].split()[-1], "some are left out"
    if width > 30:
        assert max(map(len, lines)) <= width


def test_each_epoch_has_a_line_and_the_best_are_marked(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    train(settings("trainer.max_epochs=25", "optimizer.lr=0.1"))
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    lines = [record.getMessage() for record in caplog.records]
    epochs = [line.split() for line in lines if re.match(r" +\d+ ", line)]
    assert len(epochs) == 25
    best = float("inf")
    for row, epoch in zip(rows, epochs, strict=True):
        loss, forces = float(row["validation/loss"]), float(row["validation/forces_mae (meV/Å)"])
        assert epoch[0] == row["epoch"]
        assert float(epoch[3]) == pytest.approx(forces, rel=1e-3)
        assert (epoch[-1] == "best") == (loss < best)
        best = min(best, loss)
    assert 1 < sum(epoch[-1] == "best" for epoch in epochs) < 25
    assert sum("epoch    time" in line for line in lines) == 2


def test_short_epochs_give_way_and_the_last_one_has_a_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train(settings("trainer.max_epochs=12"))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in lines if re.match(r" +\d+ ", line)] == ["1", "12"]


def test_an_interrupted_epoch_has_no_line_and_none_has_the_errors_of_another(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def press_in_the_third_epoch(self: Budget, trainer: Trainer, *args: object) -> None:
        if trainer.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    def epochs() -> dict[str, list[str]]:
        lines = [record.getMessage() for record in caplog.records]
        rows = [line.removesuffix("best").split() for line in lines if re.match(r" +\d+ ", line)]
        return {epoch: errors for epoch, _, *errors in rows}

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(Budget, "on_train_batch_end", press_in_the_third_epoch)
        with pytest.raises(RunInterrupted) as interruption:
            train(settings("trainer.max_epochs=6", "dataset.max_atoms=10"))
    assert [*epochs()] == ["1", "2"]
    resume = f"resume={interruption.value.checkpoint}"
    train(settings("trainer.max_epochs=6", "dataset.max_atoms=10", resume))
    assert [*epochs()] == ["1", "2", "3", "4", "5", "6"]
    assert len({tuple(errors) for errors in epochs().values()}) == 6


@pytest.mark.parametrize("width", [40, 80])
def test_a_bar_stands_below_and_nothing_is_left_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(progress, "terminal", lambda: console)
    monkeypatch.setattr("molnet.progress.SECONDS_BETWEEN_REFRESHES", 0.0)
    train(settings("trainer.progress_bar=true", "trainer.max_epochs=3"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    drawn = [line for line in re.split(r"\x1b\[[?\d]*[A-Za-z]|[\r\n]", text) if "% epoch" in line]
    assert any("epoch 2" in line and "left" in line for line in drawn)
    assert "100%" in drawn[-1]
    assert max(map(len, drawn)) <= width - 4
    assert text.endswith("\x1b[1A\x1b[2K")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
