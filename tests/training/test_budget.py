"""How far a run has come."""

from types import SimpleNamespace
from typing import Any

import pytest

from molnet.training import budget as module
from molnet.training.budget import Budget


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets."""
    state = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: state.now)
    return state


def trainer(step: int = 0, accumulate: int = 1) -> Any:
    return SimpleNamespace(
        global_step=step,
        num_training_batches=10,
        accumulate_grad_batches=accumulate,
        should_stop=False,
    )


def test_progress_is_the_largest_used_up_part(clock: SimpleNamespace) -> None:
    budget = Budget(max_epochs=10, max_steps=50, max_seconds=20.0)
    run = trainer()
    budget.on_train_start(run, None)  # type: ignore[arg-type]
    assert budget.progress == 0.0
    clock.now += 1.0
    run.global_step = 10
    budget.on_train_batch_end(run)
    assert budget.progress == 10 / 50
    clock.now += 9.0
    assert budget.progress == 0.5
    assert not run.should_stop


def test_progress_counts_the_steps_of_several_batches(clock: SimpleNamespace) -> None:
    budget, run = Budget(max_epochs=2), trainer(accumulate=4)  # three steps for ten batches
    budget.on_train_start(run, None)  # type: ignore[arg-type]
    run.global_step = 3
    budget.on_train_batch_end(run)
    assert budget.progress == 0.5


@pytest.mark.parametrize(("step", "seconds"), [(50, 1.0), (10, 20.0)])
def test_a_run_stops_at_its_first_limit(clock: SimpleNamespace, step: int, seconds: float) -> None:
    budget = Budget(max_steps=50, max_seconds=20.0)
    run = trainer()
    budget.on_train_start(run, None)  # type: ignore[arg-type]
    run.global_step = step
    clock.now += seconds
    budget.on_train_batch_end(run)
    assert run.should_stop
    assert budget.progress == 1.0


def test_a_resumed_run_goes_on_with_the_time_it_had_used(clock: SimpleNamespace) -> None:
    first, second = Budget(max_seconds=20.0), Budget(max_seconds=20.0)
    first.on_train_start(trainer(), None)  # type: ignore[arg-type]
    clock.now += 15.0
    second.load_state_dict(first.state_dict())
    clock.now += 3600.0
    run = trainer(step=7)
    second.on_train_start(run, None)  # type: ignore[arg-type]
    assert second.progress == 0.75
    clock.now += 5.0
    run.global_step = 8
    second.on_train_batch_end(run)
    assert run.should_stop
