"""A folder of one's own with choices that name only what they change: ``--config-dir``."""

import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from omegaconf import OmegaConf

from molnet.commands.train import main
from molnet.models import load_model

EXPERIMENT = """\
# @package _global_
defaults:
  - override /model: small
model: {channels: 4, num_layers: 1, radial_hidden: [8]}
trainer: {max_epochs: 1, accelerator: cpu}
"""
DATA_SET = """\
defaults:
  - structures
  - _self_
name: methanol
labels:
  energy: {key: REF_energy, unit: eV}
"""
TARGET = """\
heads: {energy: {kind: extensive, forces: false}}
losses: {energy: {weight: 2.0, per_atom: true}}
"""


def test_own_experiment_target_and_data_set_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("experiment/quick.yaml", EXPERIMENT),
        ("dataset/methanol.yaml", DATA_SET),
        ("target/energies.yaml", TARGET),
    ):
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / name).write_text(text)
    rng = np.random.default_rng(0)
    frames = [molecule("CH3OH") for _ in range(12)]
    for atoms in frames:
        atoms.rattle(0.05, rng=rng)
        atoms.info["REF_energy"] = float(atoms.positions.std())
    ase.io.write(tmp_path / "mine.xyz", frames, format="extxyz")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("MOLNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["molnet"])

    choices = ["dataset=methanol", "target=energies", "experiment=quick", "logger=none"]
    main(["../mine.xyz", "--config-dir", "../own", *choices, "hydra.run.dir=run"])

    recorded: Any = OmegaConf.load("run/config.yaml")
    assert recorded.dataset.name == "methanol"
    assert Path(recorded.dataset.path).resolve() == tmp_path / "mine.xyz"
    assert recorded.dataset.validation_size == 0.1  # from dataset=structures
    assert (recorded.model.channels, recorded.model.num_layers) == (4, 1)
    assert recorded.target.losses.energy.weight == 2.0
    assert load_model("run").properties.keys() == {"energy"}
