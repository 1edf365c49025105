"""Several batches for one step of the optimizer."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.training.checkpoint_file import read_checkpoint
from molnet.training.config import ConfigError
from molnet.training.interruption import RunInterrupted
from molnet.training.run import train

Settings = Callable[..., DictConfig]

EXACT = ["trainer.dtype=float64", "scheduler=constant", "seed=3"]


class Gradients(Callback):
    """Keeps the gradients of every step, and the number of batches before it."""

    found: list[tuple[int, list[torch.Tensor]]]

    def __init__(self) -> None:
        type(self).found = []
        self.batches = 0

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        self.batches += 1

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [p.grad.clone() for p in pl_module.parameters() if p.grad is not None]
        self.found.append((self.batches, gradients))


class Interrupts(Callback):
    """Asks for the end of the run while gradients wait for those of more batches."""

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.current.ready == 1:
            (checkpoints,) = (c for c in trainer.callbacks if type(c).__name__ == "Checkpoints")
            checkpoints.interruption._take_note(2, None)  # type: ignore[attr-defined]


@pytest.fixture
def unequal(molecules: Path, tmp_path: Path) -> Path:
    """The molecules, where every third lacks its energy, and every fifth its forces."""
    frames = ase.io.read(molecules, ":")
    for number, atoms in enumerate(frames):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        if number % 3:
            atoms.info["energy"] = energy
        if number % 5:
            atoms.arrays["forces"] = forces
    path = tmp_path / "unequal.extxyz"
    ase.io.write(path, frames)
    return path


def gradients(config: DictConfig) -> list[tuple[int, list[torch.Tensor]]]:
    config.callbacks.extra = {"gradients": {"_target_": f"{__name__}.Gradients"}}
    train(config)
    return Gradients.found


def test_two_batches_have_the_gradient_of_one_large_batch(
    settings: Settings, unequal: Path, tmp_path: Path
) -> None:
    """By the labels of all of them, whichever batch they are in; so does the shorter last step."""
    one = [*EXACT, "trainer.max_epochs=1", f"dataset.path={unequal}", "trainer.gradient_clip=null"]
    whole = gradients(settings(*one, "dataset.batch_size=10", f"run_folder={tmp_path / 'whole'}"))
    parts = gradients(
        settings(
            *(*one, "dataset.batch_size=2", "trainer.accumulate=5"),
            f"run_folder={tmp_path / 'parts'}",
        )
    )
    assert [batches for batches, _ in whole] == [1, 2]
    assert [batches for batches, _ in parts] == [5, 6]
    torch.testing.assert_close(parts[0][1], whole[0][1], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(parts[1][1], whole[1][1], rtol=1e-6, atol=1e-9)


def test_everything_counts_steps(settings: Settings, tmp_path: Path) -> None:
    """Twelve structures in batches of two: three steps of an epoch, and the same model."""
    histories, models = [], []
    for name, more in {
        "whole": ["dataset.batch_size=4"],
        "halves": ["dataset.batch_size=2", "trainer.accumulate=2"],
    }.items():
        folder = tmp_path / name
        train(settings(*EXACT[:1], *more, "trainer.max_epochs=3", f"run_folder={folder}"))
        histories.append(rows_of(folder))
        models.append(read_checkpoint(folder / "checkpoints" / "last.ckpt"))
    whole, halves = histories
    assert [row["step"] for row in halves] == ["3", "6", "9"]
    names = [n for n in whole[0] if n not in ("seconds", "data_wait")]
    for expected, row in zip(whole, halves, strict=True):
        assert [float(row[n]) for n in names] == pytest.approx([float(expected[n]) for n in names])
    averages = [model["callbacks"]["AveragedWeights"] for model in models]
    assert averages[0]["updates"] == averages[1]["updates"] == 9
    torch.testing.assert_close(averages[1]["average"], averages[0]["average"])


def test_a_limit_of_steps_counts_steps(settings: Settings, tmp_path: Path) -> None:
    limits = ["trainer.max_steps=4", "trainer.max_epochs=null"]
    train(settings("dataset.batch_size=2", "trainer.accumulate=2", *limits))
    assert [row["step"] for row in rows_of(tmp_path / "run")] == ["3", "4"]


def test_a_run_that_ends_within_a_step_goes_on_after_it(settings: Settings, tmp_path: Path) -> None:
    """A signal is answered at the end of the step; the whole is that of an unbroken run."""
    common = [*EXACT[:1], "dataset.batch_size=2", "trainer.accumulate=4", "trainer.max_epochs=2"]
    train(settings(*common, f"run_folder={tmp_path / 'unbroken'}"))
    config = settings(*common)
    config.callbacks.extra = {"interrupts": {"_target_": f"{__name__}.Interrupts"}}
    with pytest.raises(RunInterrupted):
        train(config)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert read_checkpoint(last)["global_step"] == 1
    assert read_checkpoint(last)["DataModule"] == {"epoch": 0, "batches": 4}
    train(settings(*common, f"resume={last}"))
    unbroken, broken = rows_of(tmp_path / "unbroken"), rows_of(tmp_path / "run")
    assert [row["step"] for row in broken] == ["2", "4"]
    for name in ("validation/loss", "learning_rate"):
        assert [row[name] for row in broken] == [row[name] for row in unbroken]


def test_a_resumed_run_keeps_its_number(settings: Settings, tmp_path: Path) -> None:
    train(settings("trainer.max_epochs=1"))
    with pytest.raises(ConfigError, match=r"trainer\.accumulate: 1 -> 2"):
        train(
            settings("trainer.max_epochs=2", "trainer.accumulate=2", f"resume={tmp_path / 'run'}")
        )


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))
