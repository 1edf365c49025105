"""Where the time of a training goes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from molnet.training.profile import PARTS, Profile
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def test_every_moment_belongs_to_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of an action do not hold those of the actions within it."""
    moments = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
    monkeypatch.setattr("molnet.training.profile.time.monotonic", lambda: next(moments))
    profile = Profile()
    with profile.profile("[LightningModule]TrainingModule.optimizer_step"):  # 0 to 31
        with profile.profile("[Strategy]SingleDeviceStrategy.training_step"):  # 1 to 3
            pass
        with (
            profile.profile("[Strategy]SingleDeviceStrategy.backward"),  # 7 to 15, with all in it
            monkeypatch.context() as within,
        ):
            within.setattr("molnet.training.profile.time.monotonic", lambda: 7.0)
            with profile.profile("[Callback]Budget.on_after_backward"):
                pass
    seconds = {part: value for part, value in profile.seconds.items() if value}
    assert seconds == {"forward and loss": 2.0, "backward": 8.0, "optimizer": 1.0 + 4.0 + 16.0}


def test_a_profile_adds_up_to_the_wall_time(
    settings: Settings, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    metrics = train(settings("trainer.profile=true"))
    (shown,) = (text for text in caplog.messages if text.startswith("time of the training"))
    assert [line[: len("transfer to the device")].strip() for line in shown.splitlines()[2:]] == [
        *PARTS,
        "all",
    ]
    profile = json.loads((tmp_path / "run" / "metrics.json").read_text())["profile"]
    assert profile == metrics["profile"]
    assert all(profile[part] > 0 for part in PARTS)
    last = metrics["seconds"]["preparation_and_training"]
    clock = float((tmp_path / "run" / "history.csv").read_text().splitlines()[-1].split(",")[2])
    assert clock < sum(profile.values()) < last + 0.1
