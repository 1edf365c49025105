"""molnet itself, by `scripts/train.py`: from random weights as the others, or from `organic`."""

from pathlib import Path

import molnet
from benchmarking.codes.code import (
    ENERGY,
    FORCES,
    ISOLATED,
    TRAINING,
    VALIDATION,
    Code,
    Errors,
    Task,
    errors_in_csv,
)

SCRIPT = Path(__file__).resolve().parents[2] / "train.py"
START_UP = 20.0  # s, of the minutes; molnet's own clock, which lowers the rate, starts after it
FROM_ORGANIC = ["experiment=one_molecule"]
RECIPE = [*FROM_ORGANIC, "finetune=null", "model=large", "optimizer.lr=2e-2"]


def with_recipe(recipe: list[str], name: str = "molnet", title: str = "molnet") -> Code:
    """molnet with settings of `molnet train`, such as ``experiment=NAME``."""
    return Code(
        name=name,
        title=title,
        package="molnet",
        recipe=" ".join(recipe),
        command=lambda task: _command(task, recipe),
        begins="validation errors",
        log="run/history.csv",
        parse=_parse,
        # The checkout or the installation that this script uses.
        environment={"PYTHONPATH": str(Path(molnet.__file__).resolve().parents[1])},
    )


def _command(task: Task, recipe: list[str]) -> list[str]:
    seconds = max(task.seconds - START_UP, task.seconds / 2)
    return [
        str(SCRIPT),
        "dataset=structures",
        f"dataset.path={TRAINING}",
        f"dataset.validation_path={VALIDATION}",
        "dataset.test_path=null",
        "dataset.train_size=null",
        "dataset.test_size=0",
        "dataset.split=null",
        f"dataset.isolated_atoms={ISOLATED}",
        f"dataset.labels.energy.key={ENERGY}",
        "dataset.labels.energy.unit=eV",
        f"dataset.labels.forces.key={FORCES}",
        "dataset.labels.forces.unit=eV/Å",
        f"seed={task.seed}",
        f"trainer.threads={task.threads}",
        "trainer.max_epochs=null",
        f"trainer.max_time={seconds:g}s",
        "hydra.run.dir=run",
        *recipe,
    ]


def _parse(text: str) -> list[Errors]:
    return errors_in_csv(text, "validation/forces_rmse (meV/Å)", "validation/energy_rmse (meV)")


MOLNET = with_recipe(RECIPE)
FINETUNED = with_recipe(FROM_ORGANIC, "molnet_organic", "molnet (from organic)")
