"""A data set of a user's own is one class in a module of his and one YAML file."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from molnet.commands.command_line import run_command
from molnet.training.arguments import resumed_arguments
from molnet.training.checkpoint_file import PARTS, read_checkpoint, seal
from molnet.training.config import ConfigError
from molnet.training.data_set_settings import checked_data_set, plain_data_set
from molnet.training.evaluate import evaluate
from molnet.training.run import train

MODULE = '''
import numpy as np
from dataclasses import dataclass
from pathlib import Path
from ase.build import molecule
from molnet.datasets import ArrayStore, DataSet, DataSetError, StoreWriter
from molnet.properties import get_property

@dataclass(kw_only=True)
class Waters(DataSet):
    """Rattled water molecules, made when they are asked for."""

    stores: Path
    count: int = 12
    temperature: float = 300.0

    def __post_init__(self):
        if self.temperature < 0:
            raise ValueError("temperature: expected a number from 0")

    def open(self, properties, declared):
        if self.count < 4:
            raise DataSetError(f"dataset.count={self.count}: expected at least 4 molecules")
        folder = self.stores / f"waters-{self.count}"
        if not folder.is_dir():
            rng = np.random.default_rng(0)
            with StoreWriter(folder, [get_property("energy")], {"files": []}) as writer:
                for _ in range(self.count):
                    atoms = molecule("H2O")
                    atoms.rattle(0.05, rng=rng)
                    energy = float(np.ptp(atoms.positions))
                    writer.add(atoms.numbers, atoms.positions, labels={"energy": energy})
        return ArrayStore.open(folder, self.verify)

    def labelled(self, properties):
        return [name for name in properties if name == "energy"]

class Undecorated(Waters):
    pressure: float = 1.0

@dataclass(kw_only=True)
class Unfinished(DataSet):
    pass

def waters(**options):
    raise AssertionError("called")
'''

YAML = """\
# @target energy
# @model small
# @trainer short
_target_: own_waters.Waters
name: waters
train_size: 0.5
validation_size: 0.25
stores: stores
"""

OPTIONS = {"name": "waters", "train_size": 6, "validation_size": 3, "stores": "stores"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is typed, with the user's module and file."""
    (tmp_path / "own_waters.py").write_text(MODULE)
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    (tmp_path / "conf" / "dataset" / "waters.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_waters", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr("molnet.training.run.plot_learning_curves", lambda *args: None)
    monkeypatch.setattr("molnet.training.results.plot_parity", lambda *args: None)
    return tmp_path


def run(*arguments: str, task: Callable[[DictConfig], object] = lambda config: None) -> None:
    """Runs a command line with the user's folder of settings."""
    run_command("train", task, ["--config-dir", "conf", *arguments, "hydra.run.dir=run"])


def train_small(*arguments: str) -> None:
    small = ["model.channels=4", "model.num_layers=1", "model.radial_hidden=[8]", "logger=none"]
    run("dataset=waters", "trainer.max_epochs=1", *small, *arguments, task=train)


def evaluation(folder: Path) -> DictConfig:
    return OmegaConf.create({"model": str(folder / "run"), "run_folder": str(folder / "e")})


def test_it_is_trained_on_evaluated_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_small()
    recorded: Any = OmegaConf.load(folder / "run" / "config.yaml")
    assert recorded.dataset._target_ == "own_waters.Waters"
    assert recorded.dataset.stores == str(folder / "stores")
    assert recorded.dataset.count == 12  # from the class
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert evaluate(evaluation(folder))["test"]["energy"]["count"] == 3
    arguments, settings = resumed_arguments([f"resume={folder / 'run'}", "trainer.max_epochs=2"])
    run_command("train", train, arguments, settings)
    assert read_checkpoint(folder / "run" / "checkpoints" / "last.ckpt")["epoch"] == 1


def test_a_model_that_predicts_none_of_its_labels_is_not_evaluated_on_it(
    folder: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    config = evaluation(folder)
    config.model = str(finished[0])
    config.dataset = {"_target_": "own_waters.Waters", **OPTIONS}
    assert list(evaluate(config)["all"]) == ["energy", "energy_per_atom"]
    config.run_folder = str(folder / "refused")
    config.dataset = {
        "_target_": "molnet.datasets.QM9",
        "name": "qm9",
        "train_size": 1,
        "validation_size": 1,
    }
    with pytest.raises(ConfigError, match=r"predicts energy, forces, .*qm9.*choose another data"):
        evaluate(config)


def test_its_file_says_what_a_training_starts_from() -> None:
    seen: list[DictConfig] = []
    run("dataset=waters", task=seen.append)
    run("dataset=waters", "target=u0", "model=large", "trainer=default", task=seen.append)
    assert [list(config.target.heads) for config in seen] == [["energy"], ["u0"]]
    assert [(config.model.channels, config.model.l_max) for config in seen] == [(32, 2), (64, 3)]
    assert [config.trainer.max_epochs for config in seen] == [None, 200]


def test_a_file_without_a_target_asks_for_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "conf" / "dataset" / "waters.yaml"
    path.write_text(YAML.split("\n", 3)[3])
    with pytest.raises(SystemExit):
        run("dataset=waters")
    assert capsys.readouterr().err.startswith("error: You must specify 'target', e.g, target=")
    seen: list[DictConfig] = []
    run("dataset=waters", "target=energy", task=seen.append)
    assert seen[0].model.channels == 64


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dataset.count=3", "does not set count: give +dataset.count=VALUE"),
        ("dataset.cuont=3", "unknown option dataset.cuont: did you mean 'dataset.count'?"),
        ("+dataset.cuont=3", "unknown option dataset.cuont: did you mean 'count'?"),
        ("+dataset.count=many", "dataset.count: Value 'many' of type 'str' could not be converted"),
        ("+dataset.count=3", "dataset.count=3: expected at least 4 molecules"),
        ("+dataset.temperature=-1", "dataset: temperature: expected a number from 0"),
        ("dataset.stores=null", "dataset.stores: Incompatible value 'None'"),
        ("target=energy_forces", "has no labels for 'forces'. It has: energy"),
        ("dataset=watters", "unknown option dataset=watters: did you mean 'waters'?"),
    ],
)
def test_mistakes_end_in_one_line(
    capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        train_small(argument)
    assert end.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own_waters.Water", "did you mean 'Waters'"),
        ("own_water.Waters", "No module named 'own_water'"),
        ("own_waters.waters", "did you mean 'Waters'"),
        ("own_waters.Unfinished", "the class lacks labelled, open"),
        ("own_waters.Undecorated", r"needs @dataclass\(kw_only=True\) above it"),
        ("molnet.datasets.DataSet", "the class lacks labelled, open"),
        ("molnet.datasets.open_structures", "did you mean 'StructureFiles'"),
        ("Waters", r"expected MODULE\.CLASS"),
        (None, r"expected MODULE\.CLASS"),
        (3, r"expected MODULE\.CLASS"),
        ("..os.system", r"expected MODULE\.CLASS"),
    ],
)
def test_classes_that_are_no_data_sets(target: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        checked_data_set({"_target_": target, **OPTIONS})
    assert str(error.value).startswith("dataset._target_=")
    assert "\n" not in str(error.value)


def test_plain_values_make_the_same_data_set_again(folder: Path) -> None:
    data_set = checked_data_set({"_target_": "own_waters.Waters", **OPTIONS})
    plain = plain_data_set(data_set, "own_waters.Waters")
    assert plain["stores"] == str(folder / "stores")
    assert checked_data_set(plain) == data_set
    again = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(plain))))
    assert checked_data_set(again) == data_set


HOSTILE = ["os.system", "subprocess.run", "builtins.eval", "pathlib.Path", "own_waters.waters"]


@pytest.mark.parametrize("target", HOSTILE)
def test_the_record_of_a_run_calls_nothing_but_data_sets(
    folder: Path, finished: tuple[Path, dict[str, Any]], target: str
) -> None:
    recorded: Any = OmegaConf.load(finished[0] / "config.yaml")
    (folder / "run").mkdir()
    (folder / "run" / "model").symlink_to(finished[0] / "model")
    recorded.dataset = {"_target_": target, "command": "touch called", "args": "touch called"}
    OmegaConf.save(recorded, folder / "run" / "config.yaml")
    with pytest.raises(ConfigError, match=rf"_target_={target}: expected .*Name labelled files"):
        evaluate(evaluation(folder))
    assert not (folder / "called").exists()


def test_nothing_within_the_options_is_called(folder: Path) -> None:
    call = {"_target_": "os.system", "command": "touch called"}
    with pytest.raises(ConfigError, match=r"dataset\.labels\.energy"):
        checked_data_set(
            {
                "_target_": "molnet.datasets.StructureFiles",
                "name": "a",
                "path": "a.xyz",
                "train_size": 1,
                "validation_size": 1,
                "labels": {"energy": call},
            }
        )
    with pytest.raises(ConfigError):
        checked_data_set({"_target_": "own_waters.Waters", **OPTIONS, "stores": call})
    assert not (folder / "called").exists()


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("dataset", {"_target_": "os.system", "command": "touch called"}),
        ("optimizer", {"_target_": "os.system", "command": "touch called"}),
        ("optimizer", {"_target_": "os.system", "_partial_": True}),
        ("scheduler", {"_target_": "os.system", "command": "touch called"}),
        ("logger", {"mine": {"_target_": "os.system", "command": "touch called"}}),
        (
            "optimizer",
            {
                "_target_": "torch.optim.Adam",
                "_partial_": True,
                "lr": {"_target_": "os.system", "command": "touch called"},
            },
        ),
        (
            "logger",
            {
                "mine": {
                    "_target_": "pytorch_lightning.loggers.CSVLogger",
                    "save_dir": [{"_target_": "os.system", "command": "touch called"}],
                }
            },
        ),
    ],
)
def test_a_checkpoint_calls_nothing_but_what_is_needed(
    folder: Path,
    finished: tuple[Path, dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    key: str,
    node: dict[str, Any],
) -> None:
    state = read_checkpoint(finished[0] / "checkpoints" / "last.ckpt")
    assert state.keys() >= set(PARTS)
    state["config"][key] = node
    (folder / "run" / "checkpoints").mkdir(parents=True)
    torch.save(state, folder / "run" / "checkpoints" / "last.ckpt")
    seal(folder / "run" / "checkpoints" / "last.ckpt")
    arguments, settings = resumed_arguments([f"resume={folder / 'run'}", "trainer.max_epochs=9"])
    with pytest.raises(SystemExit):
        run_command("train", train, arguments, settings)
    assert re.match(rf"error: {key}\.\S+: expected .*\n$", capsys.readouterr().err)
    assert not (folder / "called").exists()
