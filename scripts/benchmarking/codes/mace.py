"""MACE, by `mace_run_train`.

The settings are those of its papers (Batatia et al., NeurIPS 2022: 2 layers, l up to 3, correlation
3, batches of 5, AMSGrad at 0.01, plateau, average 0.99) and of its documentation for molecules
(energies 10, forces 1000). There are 64 channels instead of 256, in float32, so that some hundred
epochs fit into an hour of two cores, and the mean energy is taken from the data (ScaleShiftMACE)
instead of being learned. The second stage (`--swa`), which favours energies, begins at
a fixed epoch and is left out, because the number of epochs is not known beforehand.
"""

import re

from ase.data import atomic_numbers

from benchmarking.codes.code import CUTOFF, ENERGY, FORCES, TRAINING, VALIDATION, Code, Errors, Task

LINE = re.compile(r"Epoch \d+: .*RMSE_E= *(\S+) meV, RMSE_F= *(\S+) meV / A")


def _command(task: Task) -> list[str]:
    references = {atomic_numbers[symbol]: energy for symbol, energy in task.references.items()}
    return [
        *("-m", "mace.cli.run_train"),
        "--name=accuracy",
        f"--train_file={TRAINING}",
        f"--valid_file={VALIDATION}",
        f"--energy_key={ENERGY}",
        f"--forces_key={FORCES}",
        f"--E0s={references}",
        "--model=ScaleShiftMACE",
        "--hidden_irreps=64x0e + 64x1o",
        "--num_interactions=2",
        "--max_ell=3",
        "--correlation=3",
        f"--r_max={CUTOFF}",
        "--loss=weighted",
        "--energy_weight=10",
        "--forces_weight=1000",
        "--batch_size=5",
        "--valid_batch_size=10",
        "--lr=0.01",
        "--amsgrad",
        "--weight_decay=5e-7",
        "--scheduler=ReduceLROnPlateau",
        "--lr_factor=0.8",
        "--scheduler_patience=50",
        "--ema",
        "--ema_decay=0.99",
        "--max_num_epochs=100000",
        "--patience=100000",
        "--eval_interval=1",
        "--error_table=TotalRMSE",
        "--plot=False",
        "--default_dtype=float32",
        "--device=cpu",
        f"--seed={task.seed}",
    ]


def _parse(text: str) -> list[Errors]:
    return [Errors(float(forces), float(energy)) for energy, forces in LINE.findall(text)]


MACE = Code(
    name="mace",
    title="MACE",
    package="mace-torch",
    recipe="64x0e + 64x1o, 2 layers, l up to 3, correlation 3, AMSGrad 0.01",
    command=_command,
    begins="Started training",
    log="output.txt",
    parse=_parse,
    # e3nn 0.4 loads its constants in a way that newer versions of PyTorch refuse by default.
    environment={"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
)
