"""Training as a function: the settings of the command line as arguments."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from molnet.bundled import CONF
from molnet.commands.arguments import known_keys, parse
from molnet.commands.explained import explanation
from molnet.commands.train import data, with_network
from molnet.models import Model, load_model
from molnet.training.arguments import resumed_arguments
from molnet.training.errors import ConfigError
from molnet.training.folder import discard_empty_folders
from molnet.training.interruption import RunInterrupted
from molnet.training.overrides import quoted, readable
from molnet.training.run import train as run_training
from molnet.training.trainer import process_left_alone

OPEN = ("dataset.labels.", "target.", "callbacks.extra.", "logger.")
"""Settings that may get keys of any name."""


@dataclass(frozen=True)
class Run:
    """A training that has ended.

    Attributes:
        model: of the best epoch, ready to predict.
        metrics: what ``metrics.json`` holds: for each part of the split and each quantity ``mae``,
            ``rmse``, ``count`` and ``unit``; seconds; versions.
        folder: of the run, with the model, settings, predictions of the test part, and plots.
    """

    model: Model
    metrics: dict[str, Any]
    folder: Path

    def __repr__(self) -> str:
        """The folder, and the errors of the test part."""
        rows: Mapping[str, Mapping[str, Any]] = self.metrics.get("test", {})
        errors = (
            f"  test {name.replace('_', ' ')}: MAE {row['mae']:.4g} {row['unit']}"
            for name, row in rows.items()
        )
        return "\n".join([f"molnet.Run in {self.folder}", *errors])


def train(
    *arguments: str | Path | Mapping[str, Any],
    max_time: str | None = None,
    max_epochs: int | None = None,
    folder: str | Path | None = None,
    config_dir: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Train a model, as ``molnet train`` does.

    >>> run = molnet.train(  # doctest: +SKIP
    ...     "mine.xyz", energy=("energy", "eV"), forces=("forces", "eV/Å"), max_time="10m"
    ... )
    >>> run.model.predict("others.xyz")  # doctest: +SKIP

    Without a file or a data set it trains on the organic set that comes with molnet. All that the
    command prints is printed; the random state, the working folder and the settings of logging are
    afterwards what they were before. Ctrl-C, or the interruption of a notebook's cell, ends the
    run after the present step and saves its state.

    Args:
        arguments: in any order, files of structures with labels; settings as on the command line,
            ``"model.cutoff=4"``; and dictionaries of settings, ``{"model": {"cutoff": 4}}``.
        max_time: when to end, as ``"10m"`` or ``"1h30m"``.
        max_epochs: likewise.
        folder: for everything that the run writes; by default a new one,
            ``outputs/<date>/<time>``.
        config_dir: a folder with settings of one's own, in the form of molnet's ``conf/``.
        quiet: print nothing; ``train.log`` in the folder holds the messages.
        settings: a pair is a label, its key and its unit in the files:
            ``energy=("energy", "eV")``. All else is a setting: ``dataset="qm9"``,
            ``target="u0"``, ``model="large"``, ``seed=3``, ``trainer={"dtype": "float64"}``. A
            target with ``heads`` of its own replaces the whole target.

    Raises:
        ConfigError: settings are unknown, missing or contradictory; the folder is used by another
            run, or holds the results of one.
        ValueError: the data cannot be used, or the loss diverges; the message says what to do.
        OSError: a file cannot be read, or the run's folder cannot be written.
        KeyboardInterrupt: after Ctrl-C; the message says how to continue.
    """
    limits = {"trainer.max_time": max_time, "trainer.max_epochs": max_epochs}
    overrides = _overrides(arguments, settings | {k: v for k, v in limits.items() if v is not None})
    if folder is not None:
        overrides.append(f"hydra.run.dir={quoted(str(folder))}")
    if config_dir is not None:
        place = Path(config_dir).expanduser().absolute()
        if not place.is_dir():
            raise ConfigError(f"config_dir={config_dir}: there is no such folder")
        overrides.append(f"hydra.searchpath=[{quoted(f'file://{place}')}]")
    try:
        with _messages(quiet), process_left_alone():
            config = _composed(overrides)
            metrics = run_training(config, "train.log", overrides)
            place = Path(config.run_folder).absolute()
            return Run(load_model(place / "model"), metrics, place)
    except RunInterrupted as interruption:
        raise KeyboardInterrupt(_how_to_go_on(interruption.checkpoint)) from None
    finally:
        discard_empty_folders()


def _overrides(
    arguments: tuple[str | Path | Mapping[str, Any], ...], settings: Mapping[str, Any]
) -> list[str]:
    """The arguments as they would stand on the command line."""
    files: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        if isinstance(argument, Mapping):
            overrides += _settings(argument)
        elif isinstance(argument, Path):
            files.append(str(argument))
        elif not isinstance(argument, str):
            raise TypeError(
                "expected names of files, 'KEY=VALUE' or dictionaries of settings, received "
                f"{type(argument).__module__}.{type(argument).__qualname__}. Write structures to a "
                "file with ase.io.write first"
            )
        else:
            parsed = parse([argument], known_keys("train"))
            if parsed.flags:
                raise ConfigError(f"{argument} is a flag of the command line")
            files += parsed.files
            overrides += map(readable, parsed.settings)
    overrides += _settings(settings)
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    return with_network([*(data(files, given) if files else []), *overrides])


def _settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, tuple) and not prefix:
            if len(value) != 2 or not all(isinstance(part, str | None) for part in value):
                raise ConfigError(
                    f"{name}={value!r}: expected the label's key and its unit in the files, as "
                    'energy=("energy", "eV")'
                )
            yield f"++dataset.labels.{name}={_text({'key': value[0], 'unit': value[1]})}"
        elif key == "target" and isinstance(value, Mapping) and "heads" in value:
            yield "~target"
            yield f"+target={_text(value)}"
        elif isinstance(value, Mapping) and value:
            yield from _settings(value, f"{key}.")
        else:
            yield f"{'++' if key.startswith(OPEN) else ''}{key}={_text(value)}"


def _text(value: Any) -> str:
    """A value in the grammar of the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_text(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return quoted(str(value))


def _composed(overrides: list[str]) -> DictConfig:
    """The settings of ``conf/train.yaml`` with these changes.

    Raises:
        ConfigError: they do not fit together.
    """
    try:
        for override in OverridesParser.create().parse_overrides(overrides):
            if override.is_sweep_override():
                raise ConfigError(
                    f"{override.input_line}: expected one value. Call train for each of several"
                )
        arguments, resumed = overrides, None
        if any(override.startswith("resume=") for override in overrides):
            arguments, resumed = resumed_arguments(overrides)
        with _hydra(resumed) as name:
            config = compose(name, arguments, return_hydra_config=True)
            folder = config.hydra.run.dir
        with open_dict(config):
            config.run_folder = folder
            del config["hydra"]
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explanation(error)) from None
    return config


@contextmanager
def _hydra(settings: dict[str, Any] | None) -> Iterator[str]:
    """Hydra for this block, whether or not the user's own program runs it.

    The block gets the name of the configuration: that of ``conf/``, or of a resumed run.
    """
    running, version, store = GlobalHydra.instance(), VersionBase.instance(), ConfigStore.instance()
    before = running.hydra, version.version_base
    running.clear()
    if settings is not None:
        store.store("resumed_train", settings)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield "train" if settings is None else "resumed_train"
    finally:
        running.hydra, version.version_base = before
        GlobalHydra.set_instance(running)  # Hydra has put a copy in its place
        store.repo.pop("resumed_train.yaml", None)


@contextmanager
def _messages(quiet: bool) -> Iterator[None]:
    """Within this block molnet's messages are printed, unless the user handles them."""
    logger = logging.getLogger("molnet")
    level, handler = logger.level, logging.StreamHandler(sys.stdout)
    shown = not quiet and not logger.hasHandlers()
    logger.setLevel(logging.INFO)
    if shown:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _how_to_go_on(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "before the first checkpoint was saved"
    return f'the state is saved. Continue with molnet.train(resume="{checkpoint}")'
