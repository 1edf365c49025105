"""Settings are checked, wherever they come from."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from molnet.training.config import (
    ConfigError,
    QM9Config,
    checked_train,
    did_you_mean,
    parse_duration,
)

Settings = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("colour", "red", "unknown option colour"),
        ("model.cutof", 4.0, "unknown option model.cutof: did you mean 'cutoff'"),
        ("dataset.trian_size", 3, "unknown option dataset.trian_size: did you mean 'train_size'"),
        ("dataset.labels.energy.units", "eV", "did you mean 'unit'"),
        ("target.losses.energy.wieght", 1.0, "did you mean 'weight'"),
        ("trainer.max_epoch", 3, "did you mean 'max_epochs'"),
        ("optimizer.lrr", 1.0, "did you mean 'lr'"),
        ("scheduler.flor", 1.0, "did you mean 'floor'"),
        ("model.channels", "many", r"model\.channels"),
        ("model.channels", 0, "channels: expected a whole number from 1 to 4096, got 0"),
        ("model.num_layers", 10_000, "model: num_layers: expected"),
        ("model.cutoff", float("nan"), "cutoff: expected a number from 0.1 to 100, got nan"),
        ("model.radial_hidden", [0], "radial_hidden: expected"),
        ("model.num_knots", 2, "num_knots: expected"),
        ("target.heads.energy", {"kind": "extensiv", "forces": True}, "did you mean 'extensive'"),
        (
            "target.heads.energy",
            {"kind": "extensive", "forces": True, "magnitude": True},
            "unknown energy.magnitude",
        ),
        ("target.heads.energy", {"kind": "extensive", "forces": 1}, "energy.forces: expected"),
        ("seed", None, "seed"),
        ("target.losses.stress", {"weight": 1.0}, "add stress: true"),
        ("target.heads.enrgy", {"kind": "extensive"}, "'energy'"),
        ("target.losses", {}, "at least one"),
        ("target.properties", {"pull": {"unit": "eV", "per": "atoms"}}, "did you mean 'atom'"),
        ("trainer.max_epochs", None, "never end"),
        ("trainer.max_time", "5 minutes", "DD:HH:MM:SS"),
        ("trainer.dtype", "float16", "float64"),
        ("dataset.kind", "qm99", "qm9"),
        ("dataset.path", "???", r"dataset\.path is not set"),
        ("scheduler._target_", "molnet.training.schedule.Cosin", "Cosin"),
        ("callbacks.extra.mine", {"patience": 3}, "_target_"),
    ],
)
def test_a_wrong_setting_is_named(
    settings: Settings, key: str, value: object, message: str
) -> None:
    config = settings()
    with open_dict(config):
        OmegaConf.update(config, key, value, merge=False, force_add=True)
    with pytest.raises(ConfigError, match=message):
        checked_train(config)


def test_labels_have_no_place_in_qm9(settings: Settings) -> None:
    config = settings()
    with open_dict(config):
        config.dataset.kind = "qm9"
    with pytest.raises(ConfigError, match=r"unknown option dataset\.(labels|path)"):
        checked_train(config)


def test_settings_have_their_types(settings: Settings) -> None:
    checked = checked_train(settings("dataset.train_size=0.5", "trainer.gradient_clip=null"))
    assert checked.dataset.train_size == 0.5
    assert checked.trainer.gradient_clip is None
    assert checked.target.losses["forces"].weight == 10.0
    assert not isinstance(checked.dataset, QM9Config)


def test_nearest_word_or_all() -> None:
    assert did_you_mean("cutof", ["cutoff", "channels"]) == "did you mean 'cutoff'?"
    assert did_you_mean("zzz", ["b", "a"]) == "expected one of a, b"


def test_durations() -> None:
    assert parse_duration("01:02:03:04") == 93784.0
    with pytest.raises(ConfigError, match="3 hours"):
        parse_duration("3 hours")
