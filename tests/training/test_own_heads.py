"""A head of a user's own is one class in a module of his, named by ``_target_``."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule
from ase.io import write
from omegaconf import DictConfig, OmegaConf

from molnet.models import load_model
from molnet.models.kinds import NotImportedError, head_class
from molnet.training.config import ConfigError
from molnet.training.run import train

ROOT = Path(__file__).resolve().parents[2]

MODULE = '''
import torch
from torch import nn
from molnet.models.head import Head, Predicted, readout, sum_over_structures
from molnet.models.heads import Extensive

class Largest(Head):
    """The largest of a learned number of each atom."""

    def __init__(self, num_scalars, irreps_in, statistics, sharpness: float = 1.0):
        super().__init__(num_scalars, irreps_in, statistics)
        self.mean, self.sharpness = statistics["mean"], sharpness
        self.readout = readout(num_scalars, 1)

    @staticmethod
    def predicts(**options):
        return Predicted("structure", ())

    def forward(self, features, graph):
        values = torch.exp(self.sharpness * self.readout(features.scalars).squeeze(1))
        return self.mean + self.scale * sum_over_structures(values, graph).log() / self.sharpness

class Doubled(Extensive):
    """An energy whose learned part counts twice."""

    def forward(self, features, graph):
        references = self._references_of(graph)
        return 2.0 * super().forward(features, graph) - sum_over_structures(references, graph)

class NoHead(nn.Module):
    pass
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The full name of a class in the user's module, whose name differs from test to test."""
    module = f"own_heads_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: f"{module}.{name}"


def with_head(config: DictConfig, name: str, head: dict[str, Any]) -> DictConfig:
    label = {"key": name, "unit": "eV"}
    OmegaConf.update(config, f"dataset.labels.{name}", label, force_add=True)
    OmegaConf.update(config, "target.heads", {name: head}, merge=False)
    OmegaConf.update(config, "target.losses", {name: {"weight": 1.0}}, merge=False)
    return config


def test_a_head_of_ones_own_is_trained_saved_and_loaded(
    settings: Callable[..., DictConfig],
    own: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = settings("target=homo")
    head = {"_target_": own("Largest"), "sharpness": 2.0}
    metrics = train(with_head(config, "homo", head))
    assert metrics["test"]["homo"]["unit"] == "meV"
    model = load_model(tmp_path / "run")
    assert model.config["heads"] == {"homo": {"kind": own("Largest"), "sharpness": 2.0}}
    assert model.predict(molecule("H2O"))["homo"].shape == ()

    write(tmp_path / "in.xyz", molecule("H2O"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    monkeypatch.chdir(tmp_path)
    ours = [sys.executable, "-m", "molnet", "predict", "in.xyz", "model=run"]
    refused = subprocess.run(ours, capture_output=True, text=True)
    assert refused.returncode == 1
    named = re.search(r"imports=\[\w+\]", refused.stderr)
    assert named is not None
    subprocess.run([*ours, named[0]], check=True)
    assert "homo=" in (tmp_path / "in.predicted.extxyz").read_text()

    # Another program: nothing that a model names is imported by itself.
    module = own("Largest").partition(".")[0]
    program = (
        "import sys\nfrom molnet.models import ModelFormatError, load_model\n"
        "try:\n    load_model('run')\n"
        "except ModelFormatError as error:\n    print(error)\n"
        f"assert {module!r} not in sys.modules\nimport {module}\n"
        "print(load_model('run').heads['homo'].sharpness)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"import {module} first" in shown[0]
    assert "damaged" not in shown[0]
    assert shown[1] == "2.0"


def test_an_energy_of_ones_own_has_forces(
    settings: Callable[..., DictConfig], own: Callable[..., str], tmp_path: Path
) -> None:
    config = settings()
    OmegaConf.update(
        config,
        "target.heads",
        {"energy": {"_target_": own("Doubled"), "forces": True}},
        merge=False,
    )
    train(config)
    model, water = load_model(tmp_path / "run", dtype="float64"), molecule("H2O")
    forces = model.predict(water)["forces"]
    energies = []
    for sign in (1, -1):
        moved = water.copy()
        moved.positions[0, 2] += sign * 1e-4
        energies.append(model.predict(moved)["energy"])
    assert forces[0, 2] == pytest.approx((energies[1] - energies[0]) / 2e-4, rel=1e-5)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            {"_target_": "Larges"},
            r"target\.heads\.homo\._target_=.*Larges: .*did you mean 'Largest'",
        ),
        ({"_target_": "NoHead"}, r"a subclass of molnet\.models\.head\.Head"),
        ({"_target_": "Largest", "sharpnes": 1.0}, "did you mean 'sharpness'"),
        ({"_target_": "Largest", "sharpness": "x"}, "expected a finite number"),
        ({"_target_": "Largest", "kind": "intensive"}, "expected kind or _target_, got both"),
    ],
)
def test_mistakes(
    settings: Callable[..., DictConfig], own: Callable[..., str], head: dict, message: str
) -> None:
    config = settings("target=homo")
    head = head | {"_target_": own(head["_target_"])}
    with pytest.raises(ConfigError, match=message):
        train(with_head(config, "homo", head))


def test_a_module_that_is_not_there(settings: Callable[..., DictConfig]) -> None:
    config = settings("target=homo")
    with pytest.raises(ConfigError, match="No module named 'own_hedas'"):
        train(with_head(config, "homo", {"_target_": "own_hedas.Largest"}))


def test_only_heads_are_found_by_name() -> None:
    for kind in ("os.system", "torch.nn.modules.linear.Linear", "molnet.models.head.NoHead"):
        with pytest.raises(NotImportedError, match="has not imported"):
            head_class(kind)
