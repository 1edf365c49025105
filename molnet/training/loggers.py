"""Loggers of Lightning for services that people use, so that they fit the runs of molnet.

A run that is resumed goes on in the same record, whose name is found in the run's folder. A record
ends with the errors of the saved model, after the training.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger, WandbLogger

from molnet.training.errors import ConfigError
from molnet.training.extras import needs
from molnet.training.recorded import leaves

log = logging.getLogger(__name__)


class WandB(WandbLogger):
    """Weights & Biases.

    Args:
        save_dir: the run's folder.
        project: where the run appears.
        name: of the run; None: chosen by Weights & Biases.
        offline: keep all in the folder; ``wandb sync`` sends it.
        entity: the user or team; None: the one that is logged in.
        tags: of the run.
        group: of runs that belong together.
        notes: on the run.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "molnet",
        name: str | None = None,
        offline: bool = False,
        entity: str | None = None,
        tags: list[str] | None = None,
        group: str | None = None,
        notes: str | None = None,
    ) -> None:
        with needs("wandb", "logger=wandb", "wandb"):
            import wandb  # noqa: F401

        super().__init__(
            name=name,
            save_dir=save_dir,
            offline=offline,
            id=_last_id(Path(save_dir)),
            project=project,
            entity=entity,
            tags=tags,
            group=group,
            notes=notes,
        )
        self._wandb_init.pop("anonymous", None)  # which Weights & Biases warns of

    def begin(self, settings: dict[str, Any]) -> None:
        """Start or go on with the record, which gets the settings of the run."""
        from wandb.errors import Error

        try:
            self.log_hyperparams(settings)
        except Error as error:
            raise ConfigError(
                f"logger=wandb: {error} Or keep all in the run's folder: logger.wandb.offline=true"
            ) from error

    def finalize(self, status: str) -> None:
        """End the record of a training that has failed; otherwise its errors come yet."""
        if status != "success":
            self._end(1)

    def conclude(self, errors: Mapping[str, float]) -> None:
        """Log the errors of the saved model, and end the record: the next run has its own."""
        self.experiment.summary.update(dict(errors))
        self._end(0)

    def _end(self, status: int) -> None:
        if self._experiment is not None:
            self._experiment.finish(exit_code=status)
            self._experiment = None


class MLflow(MLFlowLogger):
    """MLflow, which has no room for units in the names of values.

    Args:
        save_dir: the run's folder, where the name of the record is kept.
        tracking_uri: of the server or database; by default the environment variable
            ``MLFLOW_TRACKING_URI`` or, without that, ``mlflow.db`` in the working folder.
        experiment_name: where the run appears.
        run_name: None: chosen by MLflow.
        tags: of the run.
    """

    def __init__(
        self,
        save_dir: str,
        tracking_uri: str | None = None,
        experiment_name: str = "molnet",
        run_name: str | None = None,
        tags: dict[str, Any] | None = None,
    ) -> None:
        with needs("mlflow", "logger=mlflow", "mlflow"):
            import mlflow  # noqa: F401

        # Its changes of a new database's tables are nothing that users ask for.
        for name in ("alembic", "mlflow.store.db"):
            logging.getLogger(name).setLevel(logging.WARNING)
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        self._record = Path(save_dir) / "mlflow_run_id"
        super().__init__(
            experiment_name=experiment_name,
            run_name=run_name,
            tracking_uri=uri,
            tags=tags,
            run_id=self._record.read_text().strip() if self._record.is_file() else None,
        )

    def begin(self, settings: dict[str, Any]) -> None:
        """Start or go on with the record, which gets the settings of the run.

        MLflow keeps the first value of a setting; one that a resumed run has changed is a tag.
        """
        from mlflow.exceptions import MlflowException

        try:
            run = self.experiment.get_run(self.run_id)
            self._record.write_text(f"{self.run_id}\n")
            self.experiment.update_run(self.run_id, status="RUNNING")
            given = {key: str(value)[:LONGEST] for key, value in leaves(settings)}
            known = run.data.params
            self.log_hyperparams({key: given[key] for key in given if key not in known})
            for key in given.keys() & known.keys():
                if given[key] != known[key]:
                    self.experiment.set_tag(self.run_id, key, given[key])
        except MlflowException as error:
            raise ConfigError(f"logger=mlflow: {self._tracking_uri}: {error}") from error

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values under their names without units; a training goes on if that fails."""
        from mlflow.exceptions import MlflowException

        try:
            super().log_metrics(_without_units(metrics), step)
        except MlflowException as error:
            log.warning("MLflow has no values of step %s, history.csv has them: %s", step, error)

    def finalize(self, status: str = "success") -> None:
        """End the record of a training that has failed; otherwise its errors come yet."""
        if status != "success":
            super().finalize(status)

    def conclude(self, errors: Mapping[str, float]) -> None:
        """Log the errors of the saved model, and end the record."""
        self.log_metrics(errors)
        super().finalize("success")


LONGEST = 250
"""Characters of a setting's value, as Lightning cuts them for MLflow."""


def begin(loggers: Iterable[Logger], settings: dict[str, Any]) -> None:
    """Start those records of a run that are read elsewhere than in its folder.

    Args:
        loggers: of the trainer.
        settings: of the run, as plain values.

    Raises:
        ConfigError: the service cannot be used.
    """
    for logger in loggers:
        if isinstance(logger, WandB | MLflow):
            logger.begin(settings)


def conclude(loggers: Iterable[Logger], errors: Mapping[str, float]) -> None:
    """End those records with the errors of the saved model, by name."""
    for logger in loggers:
        if isinstance(logger, WandB | MLflow):
            logger.conclude(errors)


def _last_id(folder: Path) -> str | None:
    """The name of the record that an earlier part of a run has left: that of its file."""
    found = sorted(folder.glob("wandb/*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return found[-1].stem.removeprefix("run-") if found else None


def _without_units(values: Mapping[str, float]) -> dict[str, float]:
    return {name.partition(" (")[0]: value for name, value in values.items()}
