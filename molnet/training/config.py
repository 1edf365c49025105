"""The settings of a run: their names and types, checked before anything else happens.

Hydra composes the YAML files of ``conf/`` and the command line into one tree. The functions
``checked_...`` turn this tree into the dataclasses below. An unknown key, a value of a wrong type
and a missing setting are errors, whether they come from the command line, an experiment or a user's
own file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from typing import Any, TypeVar

from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from molnet.bundled import ROOT
from molnet.properties import Property
from molnet.training.calls import check_call
from molnet.training.durations import parse_duration
from molnet.training.errors import ConfigError, did_you_mean, typed
from molnet.training.paths import model_folder
from molnet.training.ranges import check_ranges, checked_references


def _starts_with(group: str, data_set: str) -> str:
    """The option of ``group`` that a data set's file names in its first lines, ``# @GROUP``."""
    named = None
    for source in GlobalHydra.instance().config_loader().get_sources():
        if source.is_config(f"dataset/{data_set}"):
            named = source.load_config(f"dataset/{data_set}").header.get(group)
            break
    return named or ("???" if group == "target" else "default")


OmegaConf.register_new_resolver("project", lambda path: str(ROOT / path), replace=True)
OmegaConf.register_new_resolver("starts_with", _starts_with, replace=True)


@dataclass
class LossConfig:
    """One term of the loss, see :class:`molnet.training.losses.LossTerm`."""

    weight: float = 1.0
    per_atom: bool = False
    function: str = "huber"
    final_weight: float | None = None


@dataclass
class PropertyConfig:
    """A property that the package does not know, see :class:`molnet.properties.Property`."""

    unit: str = MISSING
    per: str = "structure"
    shape: list[int] = field(default_factory=list)
    extensive: bool = False
    shown_in: str = ""
    meaning: str = ""


@dataclass
class TargetConfig:
    """What is predicted, and how its errors are weighed."""

    heads: dict[str, dict[str, Any]] = MISSING
    losses: dict[str, LossConfig] = MISSING
    references: dict[str, dict[str, Any]] = field(default_factory=dict)
    properties: dict[str, PropertyConfig] = field(default_factory=dict)

    def declared(self) -> dict[str, Property]:
        """The properties that this configuration adds to the built-in ones."""
        return {
            name: Property(
                name=name,
                unit=entry.unit,
                per="atom" if entry.per == "atom" else "structure",
                shape=tuple(entry.shape),
                extensive=entry.extensive,
                shown_in=entry.shown_in,
                meaning=entry.meaning,
            )
            for name, entry in self.properties.items()
        }


@dataclass
class NetworkConfig:
    """The network, see :class:`molnet.models.network.Network`."""

    cutoff: float = MISSING
    channels: int = MISSING
    l_max: int = MISSING
    l_features: int | None = MISSING
    num_layers: int = MISSING
    parity: bool = MISSING
    num_radial: int = MISSING
    radial_hidden: list[int] = MISSING
    envelope_power: int = MISSING
    radial_basis: str = MISSING
    envelope: str = MISSING
    trainable_basis: bool = MISSING
    num_knots: int | None = MISSING
    aggregation: str = MISSING
    correlation: int = MISSING
    repulsion: bool = MISSING


@dataclass
class TrainerConfig:
    """Limits of the run, device and precision."""

    max_epochs: int | None = None
    max_steps: int | None = None
    max_time: str | None = None
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    dtype: str = "float32"
    matmul_precision: str = "highest"
    threads: int | None = None
    accumulate: int = 1
    gradient_clip: float | None = None
    profile: bool = False
    progress_bar: bool = True


@dataclass
class CallbacksConfig:
    """What happens around the steps."""

    ema_decay: float | None = None
    early_stopping_patience: int | None = None
    checkpoint_minutes: float = 10.0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainConfig:
    """All settings of ``scripts/train.py``."""

    dataset: Any = MISSING
    target: TargetConfig = MISSING
    model: NetworkConfig = MISSING
    optimizer: dict[str, Any] = MISSING
    scheduler: dict[str, Any] = MISSING
    trainer: TrainerConfig = MISSING
    callbacks: CallbacksConfig = MISSING
    logger: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    finetune: str | None = None
    objective: str = "validation/loss"
    resume: str | None = None
    trial: Any = None
    run_folder: str = MISSING


@dataclass
class EvaluateConfig:
    """All settings of ``scripts/evaluate.py``."""

    dataset: Any = None
    model: str = MISSING
    split: str = "auto"
    by: str | None = None
    device: str | None = None
    threads: int | None = None
    run_folder: str = MISSING


def checked_train(config: DictConfig) -> TrainConfig:
    """The settings of a training run.

    Raises:
        ConfigError: a key or value that is unknown, missing, of a wrong type or contradictory.
    """
    checked = conform(config, TrainConfig)
    checked.target.references = checked_references(
        checked.target.references, checked.target.declared()
    )
    # Imported here, as they load torch, which those who only want names of settings do without.
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger
    from torch.optim import Optimizer

    from molnet.training.data_set_settings import checked_data_set
    from molnet.training.model_settings import check_model, named_heads
    from molnet.training.schedule import Schedule
    from molnet.training.target import check_target, with_relative_energy

    checked.dataset = checked_data_set(checked.dataset)
    checked.target.heads = named_heads(checked.target.heads)
    check_target(checked.target)
    check_model(checked)
    check_ranges(checked)
    checked.target = with_relative_energy(checked.target)
    check_call(checked.optimizer, "optimizer", Optimizer)
    check_call(checked.scheduler, "scheduler", Schedule)
    for name, node in checked.logger.items():
        check_call(node, f"logger.{name}", Logger)
    for name, node in checked.callbacks.extra.items():
        check_call(node, f"callbacks.extra.{name}", Callback)
    trainer = checked.trainer
    check_choice("trainer.dtype", trainer.dtype, ("float32", "float64"))
    check_choice("trainer.matmul_precision", trainer.matmul_precision, ("highest", "high"))
    check_choice("trainer.strategy", trainer.strategy, ("auto", "ddp"))
    limits = (trainer.max_epochs, trainer.max_steps, trainer.max_time)
    if all(limit is None for limit in limits):
        raise ConfigError(
            "the run would never end: set trainer.max_epochs, trainer.max_steps or "
            "trainer.max_time (such as 30m)"
        )
    if trainer.max_time is not None:
        parse_duration(trainer.max_time)
    return checked


def checked_evaluate(config: DictConfig) -> EvaluateConfig:
    """The settings of an evaluation.

    Raises:
        ConfigError: as :func:`checked_train`.
    """
    checked = conform(after_imports(config), EvaluateConfig)
    checked.model = model_folder("model", checked.model)
    if checked.dataset is not None:
        from molnet.training.data_set_settings import checked_data_set

        checked.dataset = checked_data_set(checked.dataset)
    check_ranges(checked)
    check_choice("split", checked.split, ("auto", "all", "train", "validation", "test"))
    return checked


def after_imports(config: DictConfig) -> dict[str, Any]:
    """The settings without ``imports``, once these modules are imported.

    Raises:
        ConfigError: there is no such module.
    """
    settings: Any = OmegaConf.to_container(config, resolve=True)
    given = settings.pop("imports", None) or []
    for name in [given] if isinstance(given, str) else given:
        try:
            import_module(str(name))
        except ImportError as error:
            raise ConfigError(
                f"imports={typed(given)}: {error}. The folder of a module must be on Python's "
                "path; for the working folder set PYTHONPATH=."
            ) from error
    return settings


Schema = TypeVar("Schema")


def conform(node: Any, schema: type[Schema], where: str = "") -> Schema:
    """``node`` as an instance of the dataclass ``schema``."""
    prefix = f"{where}." if where else ""
    try:
        plain = OmegaConf.create(_resolved(node))
        merged = OmegaConf.merge(OmegaConf.structured(schema), plain)
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except ConfigKeyError as error:
        known = _keys(error.object_type)
        key = str(error.key)
        raise ConfigError(
            f"unknown option {prefix}{error.full_key}: {did_you_mean(key, known)}"
        ) from error
    except MissingMandatoryValue as error:
        full_key = f"{prefix}{error.full_key}"
        raise ConfigError(f"{full_key} is not set: give {full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        first_line = str(error.msg or error).splitlines()[0]
        key = f"{prefix}{error.full_key or ''}".rstrip(".")
        raise ConfigError(f"{key}: {first_line}") from error


def _resolved(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _keys(schema: Any) -> list[str]:
    return [entry.name for entry in fields(schema)] if is_dataclass(schema) else []


def check_choice(where: str, value: Any, known: Iterable[str]) -> None:
    """Raise a ConfigError unless ``value`` is one of the known ones."""
    if not isinstance(value, str) or value not in known:
        raise ConfigError(
            f"unknown value {where}={typed(value)}: {did_you_mean(typed(value), known)}"
        )
