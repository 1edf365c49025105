"""What a search may choose, from Hydra's grammar."""

from typing import Any

import optuna
import pytest

from molnet.sweeps.space import space_of
from molnet.training.errors import ConfigError

Categorical, Float, Int = (
    optuna.distributions.CategoricalDistribution,
    optuna.distributions.FloatDistribution,
    optuna.distributions.IntDistribution,
)


@pytest.mark.parametrize(
    ("argument", "distribution"),
    [
        ("model=small,large", Categorical(["small", "large"])),
        ("model.cutoff=choice(4,5)", Categorical(["4", "5"])),
        ("model.radial_hidden=[8],[8,8]", Categorical(["[8]", "[8,8]"])),
        ("optimizer.lr=interval(0.1,0.2)", Float(0.1, 0.2)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", Float(1e-4, 1e-2, log=True)),
        ("optimizer.lr=interval(1,2)", Float(1.0, 2.0)),
        ("model.channels=int(interval(8,64))", Int(8, 64)),
        ("model.channels=tag(log,int(interval(8,64)))", Int(8, 64, log=True)),
        ("model.channels=range(8,64,8)", Int(8, 56, step=8)),
        ("model.cutoff=range(4,5.5,0.5)", Float(4.0, 5.0, step=0.5)),
        ("model.cutoff=range(3)", Int(0, 2)),
    ],
)
def test_values_and_intervals_of_the_command_line(argument: str, distribution: Any) -> None:
    space = space_of([argument, "trainer.max_epochs=3"])
    assert space.searched == {argument.partition("=")[0]: distribution}
    assert space.fixed == ["trainer.max_epochs=3"]


def test_the_command_line_replaces_what_files_say() -> None:
    params = {"optimizer.lr": "interval(0.1,0.2)", "model.cutoff": [4, 5], "seed": 3}
    space = space_of(["optimizer.lr=0.5"], params)
    assert space.fixed == ["seed=3", "optimizer.lr=0.5"]
    assert space.searched == {"model.cutoff": Categorical(["4", "5"])}


def test_conditions_decide_what_a_trial_chooses() -> None:
    when = {
        "optimizer=adamw": {
            "optimizer.weight_decay": "tag(log,interval(1e-6,1e-2))",
            "optimizer.amsgrad": "true,false",
            "when": {"optimizer.amsgrad=true": {"optimizer.eps": "1e-8,1e-6"}},
        }
    }
    space = space_of(["optimizer=adam,adamw", "seed=1"], None, when)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = set()
    for _ in range(40):
        trial = study.ask()
        settings = dict(text.split("=") for text in space.suggest(trial))
        found.add(tuple(settings))
        assert ("optimizer.weight_decay" in settings) == (settings["optimizer"] == "adamw")
        assert ("optimizer.eps" in settings) == (settings.get("optimizer.amsgrad") == "true")
        study.tell(trial, 0.0)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("arguments", "when", "answer"),
    [
        (["seed=1"], {}, "nothing is searched"),
        (["seed=interval(2,1)"], {}, "seed=interval"),
        (["seed=tag(log,interval(0,1))"], {}, "seed=tag"),
        (["model=small,large"], {"model=smal": {}}, "smal is none of its values"),
        (["model=small,large"], {"optimizer=adam": {}}, "optimizer is not searched"),
        (["model=small,large"], {"model": {}}, "expected KEY=VALUE"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], when: dict[str, Any], answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        space_of(arguments, None, when)


def test_the_last_of_several_values_has_precedence() -> None:
    space = space_of(["a=1,2", "b=interval(1,2)", "a=3", "b=4,5"])
    assert list(space.searched) == ["b"]
    assert "a=3" in space.fixed
    assert space.searched["b"].choices == (4, 5) or space.searched["b"].choices == ("4", "5")
