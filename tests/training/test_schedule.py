"""Learning-rate factors, and the state that they are resumed from."""

import math

import pytest

from molnet.training.schedule import START, Constant, Cosine, Plateau


def test_cosine_warms_up_and_falls_to_its_floor() -> None:
    schedule = Cosine(warmup=0.1, floor=0.05)
    assert schedule.factor(0, 0.0) == START
    assert math.isclose(schedule.factor(0, 0.05), (1 + START) / 2)
    assert math.isclose(schedule.factor(0, 0.1), 1.0)
    assert math.isclose(schedule.factor(0, 0.55), (1 + 0.05) / 2)
    assert math.isclose(schedule.factor(0, 1.0), 0.05)
    factors = [schedule.factor(0, t / 100) for t in range(101)]
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_cosine_without_warmup_starts_at_one() -> None:
    assert Cosine(warmup=0.0).factor(0, 0.0) == 1.0


def test_constant_warms_up_in_steps() -> None:
    schedule = Constant(warmup_steps=10)
    assert [schedule.factor(step, 0.0) for step in (0, 10, 1000)] == [START, 1.0, 1.0]
    assert Constant().factor(0, 0.0) == 1.0


def test_plateau_falls_after_its_patience_and_not_below_its_floor() -> None:
    schedule = Plateau(factor=0.5, patience=2, floor=0.2)
    factors = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9):
        schedule.observe(loss)
        factors.append(schedule.factor(0, 0.0))
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2]


def test_plateau_goes_on_from_its_state() -> None:
    first, second = Plateau(patience=1), Plateau(patience=1)
    for loss in (1.0, 1.1, 1.1, 1.2):
        first.observe(loss)
    second.load_state_dict(first.state_dict())
    for loss in (1.0, 1.0, 0.5):
        first.observe(loss)
        second.observe(loss)
        assert first.factor(0, 0.0) == second.factor(0, 0.0)


@pytest.mark.parametrize("make", [lambda: Cosine(warmup=1.5), lambda: Plateau(factor=2.0)])
def test_impossible_settings_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()  # type: ignore[operator]
