"""NequIP, by `nequip-train`.

The settings are those of its paper for 3BPA and acetylacetone (Batzner et al., Nat. Commun. 2022:
AMSGrad at 0.01, batches of 5, energies per atom and forces 1 : 1, plateau, average 0.99, envelope
of power 2) in the form of its tutorial, with l up to 2, 64 features, 4 layers and, as the tutorial
recommends where speed counts, without features of odd parity. Its documentation advises against
compiling a training for the CPU.
"""

from pathlib import Path
from typing import Any

import yaml

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

CONFIG = "recipe"
MONITORED = "val0_epoch/weighted_sum"


def _config(task: Task) -> dict[str, Any]:
    species = sorted(task.references)
    loader = {"_target_": "torch.utils.data.DataLoader", "num_workers": 0}
    return {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": task.seed,
            "train_file_path": TRAINING,
            "val_file_path": VALIDATION,
            "key_mapping": {ENERGY: "total_energy", FORCES: "forces"},
            "transforms": [
                {
                    "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                    "model_type_names": species,
                    "chemical_species_to_atom_type_map": {name: name for name in species},
                },
                {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": CUTOFF},
            ],
            "train_dataloader": {**loader, "batch_size": 5, "shuffle": True},
            "val_dataloader": {**loader, "batch_size": 10},
            "stats_manager": {
                "_target_": "nequip.data.CommonDataStatisticsManager",
                "dataloader_kwargs": {"batch_size": 10},
                "type_names": species,
            },
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": 100000,
            "check_val_every_n_epoch": 1,
            "enable_progress_bar": False,
            "logger": {
                "_target_": "lightning.pytorch.loggers.CSVLogger",
                "save_dir": ".",
                "name": "",
                "version": "log",
            },
            "callbacks": [
                {
                    "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "monitor": MONITORED,
                    "dirpath": ".",
                    "filename": "best",
                    "save_last": True,
                }
            ],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": 0.99,
            "loss": {
                "_target_": "nequip.train.EnergyForceLoss",
                "per_atom_energy": True,
                "coeffs": {"total_energy": 1.0, "forces": 1.0},
            },
            "val_metrics": {
                "_target_": "nequip.train.EnergyForceMetrics",
                "coeffs": {"per_atom_energy_rmse": 1.0, "forces_rmse": 1.0},
            },
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01, "amsgrad": True},
            "lr_scheduler": {
                "scheduler": {
                    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "factor": 0.8,
                    "patience": 50,
                },
                "monitor": MONITORED,
                "interval": "epoch",
                "frequency": 1,
            },
            "model": {
                "_target_": "nequip.model.NequIPGNNModel",
                "seed": task.seed,
                "model_dtype": "float32",
                "compile_mode": "eager",
                "type_names": species,
                "r_max": CUTOFF,
                "num_bessels": 8,
                "polynomial_cutoff_p": 2,
                "num_layers": 4,
                "l_max": 2,
                "parity": False,
                "num_features": 64,
                "radial_mlp_depth": 2,
                "radial_mlp_width": 64,
                "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
                "per_type_energy_scales": "${training_data_stats:forces_rms}",
                "per_type_energy_shifts": dict(task.references),
            },
        },
        "global_options": {"allow_tf32": False},
    }


def _prepare(task: Task, folder: Path) -> None:
    (folder / f"{CONFIG}.yaml").write_text(yaml.safe_dump(_config(task), sort_keys=False))


def _command(task: Task) -> list[str]:
    return ["-m", "nequip.scripts.train", f"--config-name={CONFIG}", "hydra.run.dir=."]


def _parse(text: str) -> list[Errors]:
    prefix = "val0_epoch/"
    return errors_in_csv(text, f"{prefix}forces_rmse", f"{prefix}total_energy_rmse", factor=1e3)


NEQUIP = Code(
    name="nequip",
    title="NequIP",
    package="nequip",
    recipe="64 features, 4 layers, l up to 2, without odd parity, AMSGrad 0.01",
    command=_command,
    begins="Trainable params",
    log="log/metrics.csv",
    parse=_parse,
    prepare=_prepare,
)
