"""Waiting times and learning rates."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from molnet.models import Model
from molnet.training import callbacks as module
from molnet.training.budget import Budget
from molnet.training.callbacks import DataWait, LearningRate
from molnet.training.module import OFFSET_RATE, READOUT_RATE, parameter_groups
from molnet.training.schedule import Constant


def test_the_share_of_an_epoch_that_waits_for_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    wait: Any = DataWait()
    logged: dict[str, float] = {}
    pl_module = SimpleNamespace(log=logged.__setitem__)
    trainer = SimpleNamespace(datamodule=SimpleNamespace(waited=7.0))

    wait.on_train_start(trainer, None)
    wait.on_train_epoch_start(trainer, None)
    for _ in range(4):
        clock.now += 1.0
        trainer.datamodule.waited += 0.1
        wait.on_train_batch_end(trainer)
    clock.now += 50.0
    wait.on_validation_end(trainer, None)
    wait.on_train_epoch_end(trainer, pl_module)
    assert logged["data_wait"] == pytest.approx(0.1)

    clock.now += 5.0  # checkpoints are written
    wait.on_train_epoch_start(trainer, None)
    clock.now += 2.0
    trainer.datamodule.waited += 1.0
    wait.on_train_batch_end(trainer)
    assert wait.share(trainer) == pytest.approx(0.5)


def test_the_rate_is_a_factor_times_the_configured_one() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    optimizer.param_groups[0]["lr"] = 0.123  # as a checkpoint may leave it
    callback = LearningRate(Constant(warmup_steps=100), Budget(max_steps=10))
    trainer: Any = SimpleNamespace(global_step=200, optimizers=[optimizer])
    callback.on_train_batch_start(trainer, SimpleNamespace())  # type: ignore[arg-type]
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_readouts_and_the_offset_are_slower_and_decay_spares_what_is_no_map() -> None:
    network = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}
    heads = {"energy": {"kind": "extensive", "forces": True}}
    model = Model(network, heads, [1, 8], {"mean_neighbours": 2.0})
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=1e-2, weight_decay=1e-3)
    trainer = SimpleNamespace(global_step=100, optimizers=[optimizer])
    LearningRate(Constant(100), Budget(max_steps=200)).on_train_batch_start(
        trainer, SimpleNamespace(progress=0.0)
    )
    rates = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    readout = 1e-2 * READOUT_RATE
    assert rates == [
        *((1e-2, 1e-3), (1e-2, 0.0), (readout, 1e-3), (readout, 0.0)),
        (1e-2 * OFFSET_RATE, 0.0),
    ]
