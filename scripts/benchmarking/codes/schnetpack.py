"""SchNetPack's PaiNN, by `spktrain`.

The settings are those of its own `experiment=md17` (128 features, 3 layers, 20 Gaussians, AdamW at
0.001, batches of 10, energies and forces 0.01 : 0.99, plateau with patience 75, average 0.995),
without early stopping. Energies are handed over with those of the isolated atoms subtracted.
"""

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import yaml
from ase.db import connect

from benchmarking.codes.code import (
    CUTOFF,
    ENERGY,
    FORCES,
    TRAINING,
    VALIDATION,
    Code,
    Errors,
    Task,
    errors_in_csv,
)

LAUNCHER = """
import typing
from torch.utils.data import dataloader
vars(dataloader).setdefault("T_co", typing.TypeVar("T_co"))
from schnetpack.cli import train
train()
"""
"""`spktrain`. SchNetPack, up to 2.1.1, imports a type variable that torch 2.13 has renamed."""


def _experiment() -> dict[str, Any]:
    def output(name: str, weight: float) -> dict[str, Any]:
        rmse = {"_target_": "torchmetrics.regression.MeanSquaredError", "squared": False}
        return {
            "_target_": "schnetpack.task.ModelOutput",
            "name": name,
            "loss_fn": {"_target_": "torch.nn.MSELoss"},
            "metrics": {"rmse": rmse},
            "loss_weight": weight,
        }

    transform = "schnetpack.transform."
    return {
        "defaults": [
            {"override /model": "nnp"},
            {"override /data": "custom"},
            {"override /logger": "csv"},
        ],
        "run": {"experiment": "accuracy", "id": "accuracy"},
        "globals": {"cutoff": CUTOFF, "lr": 1e-3, "energy_key": "energy", "forces_key": "forces"},
        "data": {
            "batch_size": 10,
            "num_workers": 0,
            "distance_unit": "Ang",
            "property_units": {"energy": "eV", "forces": "eV/Ang"},
            "transforms": [
                {"_target_": f"{transform}SubtractCenterOfMass"},
                {
                    "_target_": f"{transform}RemoveOffsets",
                    "property": "energy",
                    "remove_mean": True,
                },
                {"_target_": f"{transform}MatScipyNeighborList", "cutoff": CUTOFF},
                {"_target_": f"{transform}CastTo32"},
            ],
        },
        "model": {
            "output_modules": [
                {
                    "_target_": "schnetpack.atomistic.Atomwise",
                    "output_key": "energy",
                    "n_in": "${model.representation.n_atom_basis}",
                    "aggregation_mode": "sum",
                },
                {
                    "_target_": "schnetpack.atomistic.Forces",
                    "energy_key": "energy",
                    "force_key": "forces",
                },
            ],
            "postprocessors": [
                {"_target_": f"{transform}CastTo64"},
                {"_target_": f"{transform}AddOffsets", "property": "energy", "add_mean": True},
            ],
        },
        "task": {
            "outputs": [output("energy", 0.01), output("forces", 0.99)],
            # SchNetPack's own, up to 2.1.1, fails with the torch of today; without smoothing, which
            # is its default, it does the same.
            "scheduler_cls": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        },
        "callbacks": {"early_stopping": {"patience": 1000000}},
    }


def _prepare(task: Task, folder: Path) -> None:
    experiment = folder / "experiment" / "accuracy.yaml"
    experiment.parent.mkdir()
    experiment.write_text(
        "# @package _global_\n" + yaml.safe_dump(_experiment(), sort_keys=False, allow_unicode=True)
    )
    with connect(folder / "frames.db") as database:
        database.metadata = {
            "_distance_unit": "Ang",
            "_property_unit_dict": {"energy": "eV", "forces": "eV/Ang"},
        }
        for file in (TRAINING, VALIDATION):
            for atoms in ase.io.iread(folder / file):
                isolated = sum(task.references[symbol] for symbol in atoms.symbols)
                energy = np.array([atoms.info[ENERGY] - isolated])
                database.write(atoms, data={"energy": energy, "forces": atoms.arrays[FORCES]})
    places = np.arange(task.training + task.validation)
    np.savez(
        folder / "split.npz",
        train_idx=places[: task.training],
        val_idx=places[task.training :],
        test_idx=places[:0],
    )


def _command(task: Task) -> list[str]:
    return [
        *("-c", LAUNCHER),
        "experiment=accuracy",
        "data.datapath=frames.db",
        f"data.num_train={task.training}",
        f"data.num_val={task.validation}",
        f"+seed={task.seed}",
        "trainer.accelerator=cpu",
        "+trainer.enable_progress_bar=False",
        "~task.scheduler_args.smoothing_factor",
        "hydra.job.chdir=False",
        "hydra.run.dir=.",
    ]


def _parse(text: str) -> list[Errors]:
    return errors_in_csv(text, "val_forces_rmse", "val_energy_rmse", factor=1e3)


SCHNETPACK = Code(
    name="schnetpack",
    title="PaiNN (SchNetPack)",
    package="schnetpack",
    recipe="128 features, 3 layers, AdamW 0.001",
    command=_command,
    begins="Starting training.",
    log="csv/version_0/metrics.csv",
    parse=_parse,
    prepare=_prepare,
)
