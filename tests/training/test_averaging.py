"""The moving average of the weights."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule

from molnet.training.averaging import AveragedWeights


def module(value: float) -> LightningModule:
    result = LightningModule()
    result.weight = torch.nn.Parameter(torch.tensor([value]))
    return result


class Steps:
    """Trainers after one batch more each time; some batches make a step."""

    def __init__(self, batches_a_step: int = 1) -> None:
        self.batches = 0
        self.batches_a_step = batches_a_step

    def batch(self) -> Any:
        self.batches += 1
        return SimpleNamespace(global_step=self.batches // self.batches_a_step)


def test_average_follows_its_formula_and_is_swapped_for_validation() -> None:
    averaged, trained, steps = AveragedWeights(0.5), module(0.0), Steps()
    averaged.on_fit_start(None, trained)
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 3.0, 4.0), start=1):
        trained.weight.data.fill_(value)
        averaged.on_train_batch_end(steps.batch(), trained)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    averaged.on_validation_start(None, trained)
    assert trained.weight.item() == pytest.approx(expected)
    averaged.on_validation_end(None, trained)
    assert trained.weight.item() == 4.0
    with averaged.applied(trained):
        assert trained.weight.item() == pytest.approx(expected)
    assert trained.weight.item() == 4.0


def test_a_validation_that_breaks_off_leaves_the_weights_themselves() -> None:
    averaged, trained = AveragedWeights(0.9), module(1.0)
    averaged.on_fit_start(None, trained)
    trained.weight.data.fill_(7.0)
    averaged.on_validation_start(None, trained)
    averaged.on_exception(None, trained, KeyboardInterrupt())
    assert trained.weight.item() == 7.0
    averaged.on_exception(None, trained, KeyboardInterrupt())
    assert trained.weight.item() == 7.0


def test_average_goes_on_from_its_state() -> None:
    first, second, trained = AveragedWeights(0.9), AveragedWeights(0.9), module(1.0)
    first.on_fit_start(None, trained)
    trained.weight.data.fill_(2.0)
    steps = Steps()
    first.on_train_batch_end(steps.batch(), trained)
    second.load_state_dict(first.state_dict())
    second.on_fit_start(None, trained)
    trainer = steps.batch()
    for averaged in (first, second):
        averaged.on_train_batch_end(trainer, trained)
    torch.testing.assert_close(second.state_dict(), first.state_dict())


def test_batches_that_end_no_step_do_not_count() -> None:
    each, third, trained = AveragedWeights(0.9), AveragedWeights(0.9), module(1.0)
    for averaged, batches_a_step in ((each, 1), (third, 3)):
        trained.weight.data.fill_(1.0)
        averaged.on_fit_start(None, trained)
        steps = Steps(batches_a_step)
        for batch in range(1, 6 * batches_a_step + 1):
            trained.weight.data.fill_(float(batch // batches_a_step))
            averaged.on_train_batch_end(steps.batch(), trained)
    torch.testing.assert_close(third.state_dict(), each.state_dict())


def test_without_decay_the_weights_themselves_are_used() -> None:
    averaged, trained = AveragedWeights(None), module(1.0)
    averaged.on_fit_start(None, trained)
    trained.weight.data.fill_(2.0)
    averaged.on_train_batch_end(None, trained)
    averaged.on_validation_start(None, trained)
    assert trained.weight.item() == 2.0


def test_impossible_decay_is_refused() -> None:
    with pytest.raises(ValueError, match="ema_decay"):
        AveragedWeights(1.0)


def test_small_steps_are_not_rounded_away() -> None:
    """In float32 the average of a weight near −7 would stop 2e-4 short of it."""
    averaged, trained = AveragedWeights(0.999), module(-7.0)
    averaged.on_fit_start(None, trained)
    trained.weight.data.fill_(-7.001)
    steps = Steps()
    for step in range(20_000):
        averaged.on_train_batch_end(steps.batch(), trained)
        if step % 1000 == 0:
            averaged.on_validation_start(None, trained)
            averaged.on_validation_end(None, trained)
    with averaged.applied(trained):
        assert trained.weight.item() == pytest.approx(-7.001, abs=1e-6)
