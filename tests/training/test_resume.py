"""A run that is interrupted and resumed ends as one that is not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from molnet.training.budget import Budget
from molnet.training.config import ConfigError
from molnet.training.interruption import RunInterrupted
from molnet.training.resume import check_resumable, resumed_arguments
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def interrupt_after(
    steps: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT
) -> None:
    """Let Ctrl-C be pressed during a step, or another signal come."""
    original = Budget.on_train_batch_end

    def on_train_batch_end(self: Budget, trainer: Any, *args: Any, **kwargs: Any) -> None:
        original(self, trainer, *args, **kwargs)
        if trainer.global_step == steps:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Budget, "on_train_batch_end", on_train_batch_end)


def final_state(folder: Path) -> dict[str, Any]:
    """Everything in a run's last checkpoint that must not depend on an interruption."""
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    callbacks = state["callbacks"]
    rows = [
        {name: value for name, value in row.items() if name.startswith(("validation/", "epoch"))}
        for row in callbacks["History"]["rows"]
    ]
    return {
        "weights": state["state_dict"],
        "optimizer": state["optimizer_states"],
        "average": callbacks["AveragedWeights"],
        "schedule": callbacks.get("LearningRate", {}),
        "best": callbacks["Checkpoints"],
        "steps": state["global_step"],
        "rows": rows,
    }


@pytest.mark.parametrize(
    ("steps", "overrides"),
    [
        (1, []),
        (5, []),  # within the second of four epochs
        (6, []),  # on its last batch
        (5, ["dataset.workers=1"]),
        (5, ["scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.3"]),
        (
            4,
            ["callbacks.ema_decay=null", "callbacks.early_stopping_patience=1", "optimizer.lr=0.3"],
        ),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, overrides: list
) -> None:
    overrides = ["trainer.max_epochs=4", *overrides]
    whole = train(settings(*overrides))
    expected = final_state(tmp_path / "run")

    folder = tmp_path / "interrupted"
    with monkeypatch.context() as patched:
        interrupt_after(steps, patched)
        with pytest.raises(RunInterrupted) as interruption:
            train(settings(*overrides, f"run_folder={folder}"))
    assert interruption.value.checkpoint == folder / "checkpoints" / "last.ckpt"
    resumed = train(
        settings(*overrides, f"run_folder={folder}", f"resume={interruption.value.checkpoint}")
    )

    torch.testing.assert_close(final_state(folder), expected, rtol=0, atol=0)
    assert resumed["test"] == whole["test"]
    assert resumed["best_epoch"] == whole["best_epoch"]


def test_a_finished_run_can_be_trained_for_longer(settings: Settings, tmp_path: Path) -> None:
    train(settings("scheduler=constant", "trainer.max_epochs=2"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    train(settings("scheduler=constant", "trainer.max_epochs=4", f"resume={last}"))
    longer = final_state(tmp_path / "run")
    train(settings("scheduler=constant", "trainer.max_epochs=4", f"run_folder={tmp_path / 'b'}"))
    torch.testing.assert_close(longer, final_state(tmp_path / "b"), rtol=0, atol=0)


def test_a_second_ctrl_c_ends_the_run_at_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_twice(self: Budget, trainer: Any, *args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Budget, "on_train_batch_end", press_twice)
    with pytest.raises(RunInterrupted) as interruption:
        train(settings())
    assert interruption.value.checkpoint is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_signal_of_a_batch_system_saves_the_state(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(2, monkeypatch, signal.SIGTERM)
    with pytest.raises(RunInterrupted) as interruption:
        train(settings())
    assert interruption.value.number == signal.SIGTERM
    assert torch.load(str(interruption.value.checkpoint), weights_only=True)["global_step"] == 2


def test_other_settings_are_refused_or_reported(settings: Settings, tmp_path: Path) -> None:
    train(settings("trainer.max_epochs=1"))
    last = f"resume={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(ConfigError, match=r"model\.channels: 4 -> 8"):
        train(settings("model.channels=8", last))
    with pytest.raises(ConfigError, match=r"dataset\.train_size: 12 -> 13"):
        train(settings("dataset.train_size=13", last))
    config = {"trainer": {"max_epochs": 7}}
    path = tmp_path / "some.ckpt"
    torch.save({"config": {"trainer": {"max_epochs": 5}}}, path)
    assert check_resumable(path, config) == ["trainer.max_epochs: 5 -> 7"]


def test_the_command_line_of_a_run_is_taken_up_again(tmp_path: Path) -> None:
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    (tmp_path / ".hydra").mkdir()
    overrides = "- dataset=qm9\n- model.cutoff=4\n- '+dataset.labels.x={key: x, unit: eV}'\n"
    (tmp_path / ".hydra" / "overrides.yaml").write_text(overrides)
    assert resumed_arguments([f"resume={last}", "model.cutoff=6"]) == [
        "dataset=qm9",
        "+dataset.labels.x={key: x, unit: eV}",
        f"hydra.run.dir={tmp_path}",
        f"resume={last}",
        "model.cutoff=6",
    ]
    assert resumed_arguments(["seed=1"]) == ["seed=1"]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt"):
        resumed_arguments(["resume=nowhere.ckpt"])
