"""Settings are checked, wherever they come from."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from molnet.datasets import StructureFiles
from molnet.training.config import (
    ConfigError,
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
        (
            "trainer.max_time",
            "5 minutes",
            "max_time=5 minutes: expected a duration such as .*1h30m",
        ),
        ("trainer.max_time", "90", "90s"),
        ("trainer.max_time", "0s", "90s"),
        ("trainer.max_time", "", "90s"),
        ("trainer.dtype", "float16", "float64"),
        ("trainer.matmul_precision", "medium", "highest"),
        ("dataset._target_", "molnet.datasets.QM99", r"did you mean 'QM9'"),
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
        config.dataset._target_ = "molnet.datasets.QM9"
    with pytest.raises(ConfigError, match=r"unknown option dataset\.(labels|path)"):
        checked_train(config)


def test_settings_have_their_types(settings: Settings) -> None:
    checked = checked_train(settings("dataset.train_size=0.5", "trainer.gradient_clip=null"))
    assert checked.dataset.train_size == 0.5
    assert checked.trainer.gradient_clip is None
    assert checked.target.losses["forces"].weight == 10.0
    assert isinstance(checked.dataset, StructureFiles)


def test_nearest_word_or_all() -> None:
    assert did_you_mean("cutof", ["cutoff", "channels"]) == "did you mean 'cutoff'?"
    assert did_you_mean("zzz", ["b", "a"]) == "expected one of a, b"


def test_durations() -> None:
    assert parse_duration("01:02:03:04") == 93784.0
    with pytest.raises(ConfigError, match="3 hours"):
        parse_duration("3 hours")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.path=null", r"dataset\.path=null: expected a file, a glob, or several"),
        ("dataset.path=", r"dataset\.path=: expected a file"),
        ("dataset.path=[]", r"dataset\.path=\[\]: expected a file"),
        ("dataset.path=[a.xyz,null]", r"dataset\.path=null: expected the name of a file"),
        ("dataset.path=3", r"dataset\.path=3: expected a file"),
        ("dataset._target_=[qm9]", r"dataset\._target_=\[qm9\]: expected MODULE\.CLASS"),
        ("dataset.split_seed=-1", r"dataset\.split_seed=-1: expected a finite number from 0"),
        ("dataset.workers=-1", r"dataset\.workers=-1"),
        ("dataset.batch_size=0", r"dataset\.batch_size=0: expected a finite number from 1"),
        ("trainer.max_epochs=0", r"trainer\.max_epochs=0: expected a finite number from 1"),
        ("trainer.max_epochs=-1", r"trainer\.max_epochs=-1"),
        ("trainer.max_steps=0", r"trainer\.max_steps=0"),
        ("trainer.threads=0", r"trainer\.threads=0"),
        ("trainer.gradient_clip=nan", r"trainer\.gradient_clip=nan"),
        ("callbacks.checkpoint_minutes=-1", r"callbacks\.checkpoint_minutes=-1"),
        ("seed=-1", "seed=-1: expected a finite number from 0 to 4294967295"),
        ("seed=4294967296", "seed=4294967296"),
        ("target.losses.energy.weight=-1", r"target\.losses\.energy\.weight=-1"),
        ("target.losses.forces.weight=inf", r"target\.losses\.forces\.weight=inf"),
        ("scheduler.floor=null", r"scheduler\.floor=null: expected a finite number"),
        ("scheduler.floor=[1]", r"scheduler\.floor=\[1\]: expected a finite number"),
        ("scheduler.warmup=nan", r"scheduler\.warmup=nan: expected a finite number"),
        ("optimizer._target_=no/class", r"optimizer\._target_=no/class: "),
    ],
)
def test_values_that_no_setting_can_have(settings: Settings, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        checked_train(settings(override))
    assert "\n" not in str(error.value)


def with_references(settings: Settings, value: object, symbol: str = "Si") -> DictConfig:
    config = settings()
    OmegaConf.update(config, f"target.references.energy.{symbol}", value, force_add=True)
    return config


def test_references_may_be_whole_numbers(settings: Settings) -> None:
    for value in (-145, -145.0, 0):
        found = checked_train(with_references(settings, value)).target.references["energy"]["Si"]
        assert found == value
        assert type(found) is float


@pytest.mark.parametrize("value", [None, True, "many", "-145.5", [1], float("nan"), float("inf")])
def test_references_must_be_numbers(settings: Settings, value: object) -> None:
    with pytest.raises(
        ConfigError, match=r"target\.references\.energy\.Si=.*: expected the energy"
    ):
        checked_train(with_references(settings, value))


@pytest.mark.parametrize("symbol", ["SI", "Sj", "14"])
def test_references_are_those_of_elements(settings: Settings, symbol: str) -> None:
    with pytest.raises(ConfigError, match="expected the symbol of an element"):
        checked_train(with_references(settings, -145.0, symbol))
