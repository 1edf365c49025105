"""Runs in this process: each kind of target, the run's folder, what is refused."""

import csv
import errno
import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from molnet.datasets.splits import load_split, random_split
from molnet.models import load_model
from molnet.properties import get_property
from molnet.training.config import ConfigError
from molnet.training.evaluate import evaluate
from molnet.training.run import train

Settings = Callable[..., DictConfig]

KINDS = [
    ("energy", ["energy"]),
    ("u0", ["u0"]),
    ("cv", ["cv"]),
    ("homo", ["homo"]),
    ("r2", ["r2"]),
    ("charges", ["charges"]),
    ("dipole", ["dipole"]),
    ("mu", ["mu"]),
    ("polarizability", ["polarizability"]),
    ("alpha", ["alpha"]),
]


def with_labels(config: DictConfig, names: list[str]) -> DictConfig:
    for name in names:
        label = {"key": name, "unit": get_property(name).unit}
        OmegaConf.update(config, f"dataset.labels.{name}", label, force_add=True)
    return config


@pytest.mark.parametrize(("target", "labels"), KINDS, ids=[kind for kind, _ in KINDS])
def test_one_step_for_each_kind_of_target(
    settings: Settings, target: str, labels: list[str]
) -> None:
    overrides = [f"target={target}", "trainer.max_steps=1", "model.l_max=2"]
    metrics = train(with_labels(settings(*overrides), labels))
    for name in labels:
        assert metrics["test"][name]["count"] > 0
        assert np.isfinite(metrics["test"][name]["mae"])


def test_stress_of_crystals_among_molecules(
    settings: Settings, crystals: Path, tmp_path: Path
) -> None:
    config = settings(
        "target=energy_forces_stress",
        f"dataset.path={crystals}",
        "dataset.labels.stress.unit=eV/Å^3",
        "dataset.train_size=8",
        "dataset.validation_size=2",
        "trainer.max_steps=1",
        "model.cutoff=5.0",
    )
    metrics = train(config)
    assert 0 < metrics["train"]["stress"]["count"] <= 8 * 9
    assert np.isfinite(metrics["train"]["stress"]["mae"])


def test_a_declared_property_is_learned(settings: Settings, molecules: Path) -> None:
    config = settings("trainer.max_steps=1")
    config.target = OmegaConf.create(
        {
            "heads": {"pull": {"kind": "tensor", "irreps": "1o", "per": "atom"}},
            "losses": {"pull": {"weight": 1.0}},
            "properties": {"pull": {"unit": "eV/Å", "per": "atom", "shape": [3]}},
        }
    )
    OmegaConf.update(
        config, "dataset.labels.pull", {"key": "forces", "unit": "eV/Å"}, force_add=True
    )
    assert train(config)["test"]["pull"]["unit"] == "eV/Å"


def test_the_folder_of_a_run(finished: tuple[Path, dict[str, Any]], molecules: Path) -> None:
    folder, metrics = finished
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "checkpoints",
        "config.yaml",
        "history.csv",
        "learning_curves.png",
        "logs",
        "metrics.json",
        "model",
        "report.html",
        "split.json",
        "test_energy.png",
        "test_forces.png",
        "test_predictions.extxyz",
    }
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert {"train", "validation", "test", "seconds", "versions"} <= metrics.keys()
    assert metrics["test"]["energy"].keys() == {"mae", "rmse", "count", "unit"}
    assert metrics["test"]["energy"]["count"] == 8
    assert metrics["test"]["forces"]["unit"] == "meV/Å"
    by_element = metrics["by_element"]["test"]
    numbers = [by_element[element]["forces"]["count"] for element in by_element]
    assert sum(numbers) == metrics["test"]["forces"]["count"]
    frames = ase.io.read(folder / "test_predictions.extxyz", ":")
    names = Counter(atoms.info["name"] for atoms in frames)
    by_name = metrics["by_column"]["test"]["name"]
    assert {name: rows["energy"]["count"] for name, rows in by_name.items()} == names
    assert all(atoms.info["index"] == atoms.info["number"] for atoms in frames)
    recorded = OmegaConf.load(folder / "config.yaml")
    assert recorded.dataset.path == str(molecules)
    assert "${" not in (folder / "config.yaml").read_text()
    assert load_split(folder / "split.json", 24).sizes == {"train": 12, "validation": 4, "test": 8}
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert 0 <= float(rows[0]["data_wait"]) < 1


def test_predictions_are_those_of_the_saved_model(
    finished: tuple[Path, dict[str, Any]], molecules: Path
) -> None:
    folder, metrics = finished
    frames = ase.io.read(folder / "test_predictions.extxyz", ":")
    source = ase.io.read(molecules, ":")
    model = load_model(folder / "model", device="cpu")
    errors = []
    for frame, predicted in zip(frames, model.predict(frames), strict=True):
        original = source[frame.info["index"]]
        np.testing.assert_allclose(frame.positions, original.positions, atol=1e-8)
        np.testing.assert_allclose(frame.get_forces(), original.get_forces(), atol=1e-6)
        assert frame.get_potential_energy() == pytest.approx(original.get_potential_energy())
        assert frame.info["predicted_energy"] == pytest.approx(float(predicted["energy"]), abs=1e-4)
        np.testing.assert_allclose(
            frame.arrays["predicted_forces"], predicted["forces"], atol=1e-4, rtol=1e-4
        )
        errors.append(frame.info["predicted_energy"] - frame.get_potential_energy())
        assert frame.info["units"] == "energy: eV, forces: eV/Ang"
    assert metrics["test"]["energy"]["mae"] == pytest.approx(1000 * np.abs(errors).mean(), rel=1e-4)


def test_the_saved_model_holds_the_average_of_the_best_epoch(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, metrics = finished
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    average = checkpoint["callbacks"]["AveragedWeights"]["average"]
    model = load_model(folder / "model", device="cpu")
    for name, weight in model.named_parameters():
        assert torch.equal(weight, average[f"model.{name}"].to(weight.dtype))
        assert not torch.equal(weight, checkpoint["state_dict"][f"model.{name}"])
    rows = list(csv.DictReader((folder / "history.csv").open()))
    losses = [float(row["validation/loss"]) for row in rows]
    assert metrics["best_epoch"] == 1 + int(np.argmin(losses))
    for kind in ("mae", "rmse"):
        validated = float(rows[metrics["best_epoch"] - 1][f"validation/forces_{kind} (meV/Å)"])
        assert metrics["validation"]["forces"][kind] == pytest.approx(validated, rel=1e-4)


def test_plots_are_whole_images(finished: tuple[Path, dict[str, Any]]) -> None:
    for path in finished[0].glob("*.png"):
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert path.stat().st_size > 10_000


def test_evaluation_repeats_the_errors_of_the_run(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, metrics = finished
    base = {"model": str(folder), "run_folder": str(tmp_path / "evaluation"), "device": "cpu"}
    again = evaluate(OmegaConf.create(base))
    assert again["test"]["forces"]["mae"] == pytest.approx(metrics["test"]["forces"]["mae"])
    assert (tmp_path / "evaluation" / "test_predictions.extxyz").is_file()
    with pytest.raises(ConfigError, match="evaluation already holds the results of a run"):
        evaluate(OmegaConf.create(base))
    other = {"model": str(folder / "model"), "split": "all", "run_folder": str(tmp_path / "all")}
    everything = evaluate(OmegaConf.create(base | other))
    assert everything["all"]["energy"]["count"] == 24


def test_evaluation_on_other_data_takes_all_of_it(
    finished: tuple[Path, dict[str, Any]], molecules: Path, tmp_path: Path
) -> None:
    folder, _ = finished
    frames = ase.io.read(molecules, ":5")
    ase.io.write(tmp_path / "other.extxyz", frames)
    dataset = OmegaConf.load(folder / "config.yaml").dataset
    dataset.path = str(tmp_path / "other.extxyz")
    dataset.labels.forces.unit = None
    config = {"model": str(folder), "dataset": dataset, "run_folder": str(tmp_path / "evaluation")}
    metrics = evaluate(OmegaConf.create(config))
    assert metrics["all"]["energy"]["count"] == 5
    assert "forces" not in metrics["all"]
    config["run_folder"] = str(tmp_path / "refused")
    with pytest.raises(ValueError, match="another data set"):
        evaluate(OmegaConf.create(config | {"split": "test"}))
    dataset.labels.energy.unit = None
    with pytest.raises(ConfigError, match=r"dataset\.labels\.NAME\.unit"):
        evaluate(OmegaConf.create(config))


def test_learning_lowers_the_loss(settings: Settings, tmp_path: Path) -> None:
    train(settings("trainer.max_epochs=15", "callbacks.ema_decay=0.5", "optimizer.lr=0.02"))
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert len(rows) == 15
    assert float(rows[-1]["train/loss"]) < 0.5 * float(rows[0]["train/loss"])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_epoch_is_validated_whatever_its_number_of_batches(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    train(settings("trainer.max_epochs=10", "dataset.max_atoms=10", f"seed={seed}"))
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    batches = np.diff([0, *(int(row["step"]) for row in rows)])
    first_is_longest = batches[0] == batches.max()
    assert len(set(batches)) > 1
    assert first_is_longest == (seed == 0)
    assert len({row["validation/loss"] for row in rows}) == len(rows) == 10


def test_double_precision_and_an_empty_validation_part(settings: Settings, tmp_path: Path) -> None:
    metrics = train(
        settings("trainer.dtype=float64", "dataset.validation_size=0", "trainer.max_steps=1")
    )
    assert load_model(tmp_path / "run").dtype == torch.float64
    assert metrics["validation"] == metrics["train"]


def test_seed_zero_is_a_seed(settings: Settings, tmp_path: Path) -> None:
    runs = [
        train(settings(f"seed={seed}", "trainer.max_steps=2", f"run_folder={tmp_path / name}"))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert runs[0]["test"] == runs[1]["test"]
    assert runs[0]["test"] != runs[2]["test"]


def test_a_time_limit_anneals_and_ends_with_all_results(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: 0.02 * next(ticks))  # at each look at it
    monkeypatch.setattr("molnet.training.budget.time", clock)
    metrics = train(settings("trainer.max_epochs=null", "trainer.max_time=1s"))
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert 1 < metrics["epochs"] == len(rows) < 20
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * rates[0]
    assert metrics["test"]["forces"]["count"] > 0


def test_early_stopping(settings: Settings) -> None:
    metrics = train(
        settings(
            "callbacks.early_stopping_patience=1",
            "callbacks.ema_decay=null",
            "scheduler=constant",
            "scheduler.warmup_steps=0",
            "trainer.max_epochs=200",
            "optimizer.lr=1.0",
        )
    )
    assert metrics["epochs"] < 200


def test_plateau_lowers_the_learning_rate(settings: Settings, tmp_path: Path) -> None:
    train(
        settings(
            "scheduler=plateau",
            "scheduler.patience=0",
            "scheduler.warmup_steps=0",
            "optimizer.lr=0.5",
            "trainer.max_epochs=8",
        )
    )
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == 0.5
    assert rates[-1] < 0.5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.path=missing.xyz"], "missing.xyz"),
        (["dataset.labels.forces.unit=eV/Angstrm"], "Angstrm"),
        (["dataset.labels.forces.unit=null"], r"dataset\.labels\.forces\.unit"),
        (["dataset.labels.forces.key=force"], "force"),
        (["target=homo"], r"dataset\.labels\.homo"),
        (
            ["target=charges", "dataset.labels.charges.unit=e", "model.repulsion=true"],
            "target has none",
        ),
        (["dataset.train_size=1000"], "1,000"),
        (["trainer.accelerator=tpu"], "accelerator"),
        (["resume=nowhere.ckpt"], "nowhere.ckpt"),
        (["optimizer.lr=1e30", "trainer.gradient_clip=null"], "loss is"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_trained_is_refused(
    settings: Settings, overrides: list[str], message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        train(settings(*overrides, "trainer.max_steps=5"))


def test_an_element_that_only_the_test_part_has(settings: Settings, tmp_path: Path) -> None:
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, 0.7 + 0.01 * i]]) for i in range(12)]
    frames.append(Atoms("He"))
    for index, atoms in enumerate(frames):
        atoms.info["energy"] = float(index)
    path = tmp_path / "helium.extxyz"
    ase.io.write(path, frames)
    seed = next(seed for seed in range(50) if 12 in random_split(13, 6, 3, None, seed).test)
    config = settings(
        "target=energy",
        f"dataset.path={path}",
        "dataset.train_size=6",
        "dataset.validation_size=3",
        f"dataset.split_seed={seed}",
        "dataset.isolated_atoms=null",
    )
    with pytest.raises(ConfigError, match="test part holds He"):
        train(config)


def test_a_single_structure_is_enough(settings: Settings, tmp_path: Path) -> None:
    atoms = Atoms("He", info={"energy": -1.0})
    ase.io.write(tmp_path / "one.extxyz", atoms)
    metrics = train(
        settings(
            "target=energy",
            f"dataset.path={tmp_path / 'one.extxyz'}",
            "dataset.train_size=1",
            "dataset.validation_size=0",
            "trainer.max_steps=1",
        )
    )
    assert metrics["train"]["energy"]["count"] == 1
    assert "test" not in metrics


def test_a_full_disk_loses_nothing_and_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings("trainer.max_epochs=1"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    saved = last.read_bytes()

    def fill_the_disk(self: Trainer, path: Path) -> None:
        path.write_bytes(b"half a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", fill_the_disk)
    with pytest.raises(OSError, match="no space left for the run's files") as error:
        train(settings("trainer.max_epochs=2", f"resume={last}"))
    assert error.value.filename == str(tmp_path / "run")
    assert last.read_bytes() == saved
    assert {path.name for path in last.parent.iterdir()} == {"last.ckpt", "best.ckpt"}
