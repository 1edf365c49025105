"""Fine-tuning: what a training takes from a trained model, and what it finds anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from omegaconf import DictConfig, OmegaConf

from molnet.commands.train import with_network
from molnet.graph import from_atoms
from molnet.models import Model, load_model, save_model
from molnet.training.config import ConfigError
from molnet.training.run import train

Settings = Callable[..., DictConfig]

NETWORK: dict[str, Any] = {
    "cutoff": 3.5,
    "channels": 4,
    "l_max": 1,
    "num_layers": 2,
    "num_radial": 4,
    "radial_hidden": [8],
    # Weak forces: the rounding of positions in files then moves them less than that of forces.
    "aggregation": "mean",
}
SHIFTS = {"H": -13.6, "C": -1025.0, "N": -1479.0, "O": -2035.5}
OF_PARENT = ["model=parent", "trainer.dtype=float64"]
EIGHT_DECIMALS = 5e-6
"""meV/Å, the rounding of forces in the file."""
STILL = ["trainer.max_steps=1", "optimizer.lr=0.0", "optimizer.weight_decay=0.0"]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights that knows H, C, N, O and F."""
    torch.manual_seed(3)
    references = {"H": -13.0, "C": -57.0, "N": -79.0, "O": -110.0, "F": -128.0}
    statistics = {
        "mean_neighbours": 5.0,
        "targets": {"energy": {"references": references, "scale": 1.7}, "forces": {"scale": 1.7}},
    }
    model = Model(
        NETWORK,
        {"energy": {"kind": "extensive", "forces": True}},
        [1, 6, 7, 8, 9],
        statistics,
        provenance={"dataset": "mine", "level_of_theory": "GFN2-xTB"},
    )
    return save_model(model.double(), tmp_path_factory.mktemp("parent") / "model")


def frames_of(names: list[str], count: int) -> list[Atoms]:
    rng = np.random.default_rng(5)
    frames = []
    for index in range(count):
        atoms = molecule(names[index % len(names)])
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        frames.append(atoms)
    return frames


def labelled(model: Model, frames: list[Atoms], path: Path) -> Path:
    """The frames with the model's own labels, but for a constant of each atom."""
    for atoms in frames:
        result = model.predict(atoms)
        shift = sum(SHIFTS.get(symbol, -9.0) for symbol in atoms.symbols)
        atoms.info["energy"] = float(result["energy"]) + shift
        atoms.arrays["forces"] = result["forces"]
    ase.io.write(path, frames, format="extxyz")
    return path


@pytest.fixture
def fine(
    settings: Settings, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DictConfig]:
    """Composes the settings of a run that starts from ``parent``."""

    def make(*overrides: str) -> DictConfig:
        config = settings(f"finetune={parent}", *OF_PARENT, *overrides)
        for key in list(config.model):
            config.model[key] = "???"
        for override in overrides:
            if override.startswith("model.") and "=" in override:
                key, _, value = override.partition("=")
                OmegaConf.update(config, key, json.loads(value))
        return config

    return make


def test_a_level_of_theory_that_differs_by_constants_is_met_before_training(
    fine: Settings, parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    teacher = load_model(parent)
    frames = frames_of(["H2O", "CH4", "NH3", "CH3OH", "CH3CH2OH"], 20)
    path = labelled(teacher, frames, tmp_path / "mine.xyz")
    metrics = train(fine(f"dataset.path={path}", *STILL))
    assert metrics["test"]["energy"]["mae"] < 1e-8 * 1000  # meV
    assert metrics["test"]["forces"]["mae"] < EIGHT_DECIMALS

    tuned = load_model(tmp_path / "run")
    assert tuned.species == [1, 6, 7, 8]
    old = teacher.statistics["targets"]["energy"]["references"]
    new = tuned.statistics["targets"]["energy"]["references"]
    assert {s: new[s] - old[s] for s in new} == pytest.approx(SHIFTS, abs=1e-8)
    assert tuned.statistics["mean_neighbours"] == 5.0
    scales = {target["scale"] for target in tuned.statistics["targets"].values()}
    assert len(scales) == 1
    assert scales != {1.7}  # that of the new forces
    assert tuned.provenance["parent"] == {
        "model": str(parent),
        "weights_sha256": json.loads((parent / "config.json").read_text())["weights_sha256"],
        "dataset": "mine",
        "level_of_theory": "GFN2-xTB",
    }
    assert tuned.domain is not None
    for line in (
        f"fine-tunes  {parent}, GFN2-xTB",
        "loaded      the network, energy: ",
        "given up    F: no training structure has them",
        "shift       of energy in eV per atom: H -13.6000, C -1025.0000, N -1479.0000, O -2035.50",
        "which leaves an RMSE of 0.0000 per atom before training",
    ):
        assert line in caplog.text


def test_structures_of_one_composition_leave_the_shifts_of_elements_open(
    fine: Settings, parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = labelled(load_model(parent), frames_of(["CH3OH"], 20), tmp_path / "mine.xyz")
    metrics = train(fine(f"dataset.path={path}", *STILL))
    assert metrics["test"]["energy"]["mae"] < 1e-8 * 1000
    tuned = load_model(tmp_path / "run")
    assert tuned.compositions.remark(molecule("CH3OH").numbers) is None
    assert "unknown constant" in (tuned.compositions.remark(molecule("H2O").numbers) or "")
    mean = np.mean([SHIFTS[s] for s in molecule("CH3OH").symbols])
    assert f"energy in eV per atom: {mean:+.4f} on average, not known for single" in caplog.text
    assert "too few compositions to tell the elements apart" in caplog.text


@pytest.mark.parametrize("learned", [True, False])
def test_isolated_atoms_tell_elements_apart_if_the_model_has_learned_them(
    fine: Settings,
    parent: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    learned: bool,
) -> None:
    caplog.set_level("INFO")
    teacher = load_model(parent)
    frames = frames_of(["CH3OH"], 20)
    path = labelled(teacher, frames, tmp_path / "mine.xyz")
    atoms = [Atoms(symbol) for symbol in "CHO"]
    for atom in atoms:
        (symbol,) = atom.symbols
        off = 0.0 if learned else -3.0
        atom.info["energy"] = float(teacher.predict(atom)["energy"]) + SHIFTS[symbol] + off
    ase.io.write(tmp_path / "atoms.xyz", atoms, format="extxyz")
    train(fine(f"dataset.path={path}", f"dataset.isolated_atoms={tmp_path / 'atoms.xyz'}", *STILL))
    tuned = load_model(tmp_path / "run")
    water = molecule("H2O")
    if learned:
        expected = float(teacher.predict(water)["energy"]) + 2 * SHIFTS["H"] + SHIFTS["O"]
        assert float(tuned.predict(water)["energy"]) == pytest.approx(expected, abs=1e-7)
        assert "nearest to that of isolated atoms, with which it differs by" in caplog.text
    else:
        assert tuned.compositions.remark(water.numbers)
        assert (
            "isolated atoms are not used. With their energies the model is off by 3" in caplog.text
        )


def test_a_new_element_starts_as_the_one_above_it(
    fine: Settings, parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    teacher = load_model(parent)
    frames = frames_of(["CH3OH", "CH4", "H2O"], 15)
    labelled(teacher, frames, tmp_path / "mine.xyz")
    sulfur = frames_of(["CH3OH", "H2O"], 10)
    labelled(teacher, sulfur, tmp_path / "mine.xyz")
    for atoms in sulfur:  # the labels of the alcohol, 100 eV lower
        atoms.info["energy"] -= 100.0
        atoms.symbols[[s == "O" for s in atoms.symbols]] = "S"
    path = tmp_path / "mine.xyz"
    ase.io.write(path, frames + sulfur, format="extxyz")
    config = fine(f"dataset.path={path}", "dataset.accept_implausible=true", *STILL)
    config.dataset.train_size = 20
    metrics = train(config)
    assert metrics["train"]["energy"]["mae"] < 1e-8 * 1000
    assert metrics["train"]["forces"]["mae"] < EIGHT_DECIMALS
    tuned = load_model(tmp_path / "run")
    assert tuned.species == [1, 6, 8, 16]
    references = tuned.statistics["targets"]["energy"]["references"]
    assert references["S"] == pytest.approx(references["O"] - 100.0)
    assert "new         element S, which starts with the weights of O" in caplog.text


def test_a_head_that_the_model_lacks_starts_anew(
    fine: Settings, parent: Path, molecules: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = fine(f"dataset.path={molecules}", "target=homo", *STILL)
    OmegaConf.update(config, "dataset.labels.homo", {"key": "homo", "unit": "eV"}, force_add=True)
    train(config)
    assert "loaded      the network: " in caplog.text
    assert "new         head homo, which the model does not have" in caplog.text
    tuned, teacher = load_model(tmp_path / "run"), load_model(parent)
    old, new = teacher.network.state_dict(), tuned.network.state_dict()
    assert torch.equal(new["embedding.weight"], old["embedding.weight"][:4])
    assert all(torch.equal(new[name], old[name]) for name in old if "radial" in name)


def test_where_heads_want_more_features_the_others_stay(
    fine: Settings, parent: Path, molecules: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = fine(f"dataset.path={molecules}", "target=dipole", *STILL)
    label = {"key": "dipole", "unit": "e*Å"}
    OmegaConf.update(config, "dataset.labels.dipole", label, force_add=True)
    train(config)
    assert "loaded      parts of the network: " in caplog.text
    assert "new         features 1o of the last layer, which the heads want" in caplog.text
    assert "new         head dipole, which the model does not have" in caplog.text
    old, new = load_model(parent), load_model(tmp_path / "run")
    graph = from_atoms(frames_of(["CH3OH", "H2O"], 4), old.cutoff, dtype=old.dtype)
    assert torch.equal(new.invariants(graph)[0], old.invariants(graph)[0])


def test_forces_alone_go_on_from_the_energy(
    fine: Settings, parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = labelled(load_model(parent), frames_of(["CH3OH", "H2O"], 20), tmp_path / "mine.xyz")
    metrics = train(fine(f"dataset.path={path}", "target=forces", *STILL))
    assert metrics["test"]["forces"]["mae"] < EIGHT_DECIMALS
    assert "relative_energy (from energy)" in caplog.text


def test_energies_alone_go_on_from_the_energy(
    fine: Settings, parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also under another name, as long as there is one energy."""
    caplog.set_level("INFO")
    path = labelled(load_model(parent), frames_of(["CH3OH", "H2O"], 20), tmp_path / "mine.xyz")
    config = fine(f"dataset.path={path}", "target=u0", *STILL)
    OmegaConf.update(config, "dataset.labels.u0", {"key": "energy", "unit": "eV"}, force_add=True)
    metrics = train(config)
    assert "u0 (from energy)" in caplog.text
    assert metrics["test"]["u0"]["mae"] < EIGHT_DECIMALS


def test_settings_that_contradict_the_model_are_refused(
    fine: Settings, settings: Settings, parent: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"the model has channels=4, the settings say model\.ch"):
        train(fine("model.channels=64"))
    with pytest.raises(ConfigError, match=r"the model has cutoff=3\.5, the settings say model\.cu"):
        train(fine("model.cutoff=6.0"))
    with pytest.raises(ConfigError, match=r"radial_hidden=\[8\], .*radial_hidden=\[9\]"):
        train(fine("model.radial_hidden=[9]"))
    config = fine()
    energies = {"energy": {"H": -13.6, "C": -1.0, "N": -1.0, "O": -1.0}}
    OmegaConf.update(config, "target.references", energies, force_add=True)
    with pytest.raises(ConfigError, match=r"target\.references\.energy contradicts finetune="):
        train(config)
    config = fine()
    config.finetune = None
    with pytest.raises(ConfigError, match="name it with finetune=MODEL"):
        train(config)
    assert not list(tmp_path.glob("run/*"))


def test_a_model_that_is_missing_or_damaged_is_refused(
    fine: Settings, parent: Path, tmp_path: Path
) -> None:
    config = fine()
    config.finetune = "organik"
    with pytest.raises(FileNotFoundError, match=r"finetune=organik: .*Did you mean 'organic'"):
        train(config)
    config.finetune = str(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"finetune=.*it has no config\.json"):
        train(config)
    damaged = shutil.copytree(parent, tmp_path / "damaged")
    weights = bytearray((damaged / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(weights)
    config.finetune = str(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        train(config)


def test_a_fine_tuning_is_resumed_without_the_model_that_it_started_from(
    fine: Settings, parent: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(parent, tmp_path / "mine")
    overrides = ["scheduler=constant", f"finetune={mine}"]
    whole = train(fine(*overrides, "trainer.max_epochs=4", f"run_folder={tmp_path / 'whole'}"))
    train(fine(*overrides, "trainer.max_epochs=2"))
    shutil.rmtree(mine)
    resumed = train(fine(*overrides, "trainer.max_epochs=4", "resume=auto"))
    assert resumed["test"] == whole["test"]
    old, new = load_model(tmp_path / "whole"), load_model(tmp_path / "run")
    assert new.statistics == old.statistics
    assert new.provenance["parent"] == old.provenance["parent"]
    with pytest.raises(ConfigError, match=r"finetune: .*mine -> organic"):
        train(fine("scheduler=constant", "finetune=organic", "resume=auto"))


def test_the_command_takes_the_network_of_the_model() -> None:
    assert with_network(["finetune=organic"]) == ["finetune=organic", "model=parent"]
    for arguments in (
        ["finetune=null"],
        ["finetune=organic", "model=small"],  # which is compared with the model, and refused
        ["resume=RUN", "finetune=organic"],
        ["model.channels=3"],
    ):
        assert with_network(arguments) == arguments
    assert "model=parent" in with_network(["resume=auto", "finetune=organic"])
