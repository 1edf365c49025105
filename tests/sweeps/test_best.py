"""Settings of the command line as an experiment."""

import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from molnet.bundled import CONF
from molnet.sweeps.best import as_experiment, write_experiment

ARGUMENTS = [
    "experiment=structures_forces",
    "dataset.path=some.xyz",
    "dataset=structures",
    "model=small",
    "model.radial_hidden=[8,4]",
    "optimizer.lr=3e-4",
    "+dataset.labels.mu={key: mu, unit: Debye}",
    "++callbacks.ema_decay=null",
]


def test_an_experiment_composes_to_the_settings_of_its_command_line(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    write_experiment(conf, ARGUMENTS, "the best")
    with initialize_config_dir(str(conf), version_base="1.3"):
        by_arguments = compose("train", ["run_folder=here", *ARGUMENTS])
        by_experiment = compose("train", ["run_folder=here", "experiment=best"])
    assert OmegaConf.to_container(by_arguments) == OmegaConf.to_container(by_experiment)


def test_what_an_experiment_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot remove a setting"):
        as_experiment(["~callbacks.extra"])
