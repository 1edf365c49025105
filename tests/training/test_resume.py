"""A run that is interrupted and resumed ends as one that is not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch_geometric.data import Batch

from molnet.training.arguments import resumed_arguments
from molnet.training.budget import Budget
from molnet.training.checkpoint_file import PARTS, CheckpointError, seal
from molnet.training.config import ConfigError
from molnet.training.interruption import RunInterrupted
from molnet.training.module import EpochSums, TrainingModule
from molnet.training.resume import check_resumable
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_signal_of_a_batch_system_saves_the_state(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    interrupt_after(2, monkeypatch, number)
    with pytest.raises(RunInterrupted) as interruption:
        train(settings())
    assert interruption.value.number == number
    assert torch.load(str(interruption.value.checkpoint), weights_only=True)["global_step"] == 2


def test_a_signal_within_a_validation_is_answered_after_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingModule.validation_step

    def signalled(self: TrainingModule, batch: Batch, batch_idx: int) -> None:
        original(self, batch, batch_idx)
        if batch_idx == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingModule, "validation_step", signalled)
    with pytest.raises(RunInterrupted) as interruption:
        train(settings("dataset.batch_size=2"))
    assert interruption.value.number == signal.SIGTERM
    assert torch.load(str(interruption.value.checkpoint), weights_only=True)["global_step"] == 6


def test_other_settings_are_refused_or_reported(settings: Settings, tmp_path: Path) -> None:
    train(settings("trainer.max_epochs=1"))
    last = f"resume={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(ConfigError, match=r"model\.channels: 4 -> 8"):
        train(settings("model.channels=8", last))
    with pytest.raises(ConfigError, match=r"dataset\.train_size: 12 -> 13"):
        train(settings("dataset.train_size=13", last))
    with pytest.raises(ConfigError, match=r"dataset\.isolated_atoms: auto -> .*atoms\.xyz"):
        train(settings("dataset.isolated_atoms=atoms.xyz", last))
    config = {"trainer": {"max_epochs": 7}}
    path = tmp_path / "some.ckpt"
    torch.save({**dict.fromkeys(PARTS), "config": {"trainer": {"max_epochs": 5}}}, path)
    seal(path)
    assert check_resumable(path, config) == ["trainer.max_epochs: 5 -> 7"]


def test_a_checkpoint_that_groups_parameters_in_another_way_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    train(settings("trainer.max_epochs=1"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    state = torch.load(last, weights_only=True)
    groups = state["optimizer_states"][0]["param_groups"]
    groups[0]["params"] += groups.pop()["params"]  # as an earlier version might have had it
    torch.save(state, last)
    seal(last)
    with pytest.raises(ConfigError, match=r"another version of molnet.*finetune=.*run model=par"):
        train(settings("trainer.max_epochs=2", f"resume={last}"))


def test_a_command_line_goes_on_with_the_settings_of_the_checkpoint(tmp_path: Path) -> None:
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    logger = {"tensorboard": {"save_dir": f"{tmp_path}/logs", "name": f"{tmp_path}s"}}
    config = {"seed": 3, "model": {"cutoff": 4.0}, "scheduler": {"floor": 0.1}, "logger": logger}
    recorded = {**config, "run_folder": str(tmp_path), "arguments": ["a=b"]}
    torch.save({**dict.fromkeys(PARTS), "config": recorded}, last)
    seal(last)
    given = ["scheduler=plateau", "seed=5"]
    arguments, settings = resumed_arguments([f"resume={tmp_path}", *given])
    assert arguments == [*given, f"resume={last}", f"hydra.run.dir={tmp_path}"]
    assert settings is not None
    assert settings["seed"] == 3  # so that there is something that seed=5 changes
    assert settings["model"] == {"cutoff": 4.0}
    assert settings["logger"]["tensorboard"] == {
        "save_dir": "${run_folder}/logs",
        "name": f"{tmp_path}s",
    }
    assert "scheduler" not in settings  # it is chosen anew, as a whole
    assert settings["run_folder"] == "${hydra:runtime.output_dir}"
    assert {"arguments", "dataset_checksum"}.isdisjoint(settings)
    assert {"scheduler": None} in settings["defaults"]


@pytest.mark.parametrize("argument", ["seed=1", "resume=null", "resume="])
def test_without_a_checkpoint_a_command_line_stays_as_it_is(argument: str) -> None:
    assert resumed_arguments([argument]) == ([argument], None)


def test_an_empty_name_is_no_checkpoint(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"resume=: expected the name of a file or folder"):
        train(settings("resume="))


def test_checkpoints_that_are_not_there_or_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt: no such checkpoint"):
        resumed_arguments(["resume=nowhere.ckpt"])
    with pytest.raises(FileNotFoundError, match="no checkpoint in this folder"):
        resumed_arguments([f"resume={tmp_path}"])
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt is damaged, or not a checkpoint"):
        resumed_arguments([f"resume={tmp_path / 'other.ckpt'}"])


def test_a_loss_that_is_not_finite_says_what_is_saved(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EpochSums.take

    def spoilt(self: EpochSums, part: str) -> dict[str, float]:
        values = original(self, part)
        if part == "validation":
            epochs.append(len(epochs) + 1)
            if len(epochs) == diverges_in:
                values["validation/loss"] = value
        return values

    monkeypatch.setattr(EpochSums, "take", spoilt)
    for diverges_in, value in ((1, float("nan")), (1, float("inf")), (2, float("nan"))):
        epochs: list[int] = []
        folder = tmp_path / f"{diverges_in}-{value}"
        with pytest.raises(ValueError, match=f"loss is {value} after epoch {diverges_in}") as error:
            train(settings("trainer.max_epochs=2", f"run_folder={folder}"))
        saved = diverges_in > 1
        assert ("No checkpoint is saved yet" in str(error.value)) is not saved
        assert (f"resume={folder}" in str(error.value)) is saved
        assert (folder / "checkpoints" / "last.ckpt").exists() is saved
        assert (folder / "model").exists() is saved
        assert not (folder / "metrics.json").exists()
