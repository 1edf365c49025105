"""Every option of every group composes, passes the checks, and makes what it says."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from molnet.bundled import CONF
from molnet.models import Model
from molnet.training.averaging import AveragedWeights
from molnet.training.config import TrainConfig, checked_evaluate, checked_train
from molnet.training.finetuning import with_network_of_parent
from molnet.training.losses import LossTerm

OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "model", "target")
)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
DATASETS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
NETWORKS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
TARGETS = sorted(path.stem for path in (CONF / "target").glob("*.yaml"))


def composed(*overrides: str, name: str = "train") -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, ["run_folder=somewhere", *overrides])


def checked(*overrides: str) -> TrainConfig:
    if "model=parent" in overrides:  # which the command adds
        overrides = (*overrides, "finetune=organic")
    config = with_network_of_parent(composed(*overrides))
    if OmegaConf.is_missing(config.dataset, "path"):
        config.dataset.path = "some.xyz"
    return checked_train(config)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow makes its database there
    settings = checked(option, f"run_folder={tmp_path}")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = instantiate(settings.optimizer)(iter([parameter]))
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert 0 < instantiate(settings.scheduler).factor(0, 0.0) <= 1
    for name, node in settings.logger.items():
        if name in ("wandb", "mlflow"):
            pytest.importorskip(name)
        assert node["save_dir"] == str(tmp_path)
        assert isinstance(instantiate(node), Logger)
    AveragedWeights(settings.callbacks.ema_decay)


@pytest.mark.parametrize("group", ["sampler", "pruner"])
def test_every_option_of_a_search_is_made(group: str) -> None:
    study = pytest.importorskip("molnet.sweeps.study")
    make = {"sampler": study.sampler_of, "pruner": study.pruner_of}[group]
    for path in (CONF / "hydra" / "sweeper" / group).glob("*.yaml"):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            chosen = ["hydra/sweeper=optuna", f"hydra/sweeper/{group}={path.stem}"]
            config = compose("train", ["run_folder=here", *chosen], return_hydra_config=True)
        make(OmegaConf.to_container(config.hydra.sweeper[group]))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes(experiment: str) -> None:
    checked(f"experiment={experiment}")


@pytest.mark.parametrize(
    "options",
    [f"target={target}" for target in TARGETS] + [f"model={network}" for network in NETWORKS],
)
def test_every_target_and_network_makes_a_model_and_a_loss(options: str) -> None:
    settings = checked(options, *([] if "parent" in options else ["model.channels=8"]))
    statistics = {"mean_neighbours": 5.0, "targets": {}}
    model = Model(
        vars(settings.model), settings.target.heads, [1, 6], statistics, settings.target.declared()
    )
    for name, term in settings.target.losses.items():
        LossTerm(model.properties[name], 1.0, **vars(term))


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_a_target_and_a_trainer_to_start_from(dataset: str) -> None:
    settings = checked(f"dataset={dataset}")
    assert settings.target.losses
    assert settings.dataset.name == dataset


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_file_of_a_data_set_gives_every_option_of_its_class(dataset: str) -> None:
    given = composed(f"dataset={dataset}").dataset
    options = [entry.name for entry in fields(get_class(given["_target_"]))]
    assert sorted(given) == sorted(["_target_", *options])


def test_the_first_lines_of_a_data_set_are_what_training_starts_from() -> None:
    for dataset in DATASETS:
        lines = (CONF / "dataset" / f"{dataset}.yaml").read_text().splitlines()
        named = dict(line[3:].split() for line in lines if line.startswith("# @"))
        assert "target" in named
        given = composed(f"dataset={dataset}")
        chosen = composed(f"dataset={dataset}", *(f"{k}={v}" for k, v in named.items()))
        assert given == chosen
        assert composed(f"dataset={dataset}", "trainer=short").trainer.max_time == "2m"


@pytest.mark.parametrize("overrides", [[], ["dataset=organic"], ["dataset=qm9", "split=all"]])
def test_evaluations_compose(overrides: list[str]) -> None:
    config = composed(*overrides, name="evaluate")
    config.model = "some/model"
    assert (checked_evaluate(config).dataset is None) == (not overrides)


def test_the_data_set_chooses_the_target_unless_the_command_line_does() -> None:
    assert list(checked("dataset=qm9").target.losses) == ["u0"]
    assert list(checked("dataset=qm9", "target=homo").target.losses) == ["homo"]
    assert list(checked("target=homo", "dataset=qm9").target.losses) == ["homo"]
    assert list(checked().target.losses) == ["energy", "forces"]
    assert list(checked("experiment=qm9_u0", "target=gap").target.losses) == ["gap"]


def test_the_bundled_data_are_found_from_anywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(checked().dataset.path).is_file()
