"""Molecular dynamics of structures from files, all at once.

molnet md FILE... [output=FOLDER] [KEY=VALUE ...]
molnet md resume=FOLDER [time=...]
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from molnet.commands.importing import importing
from molnet.commands.predict import inputs
from molnet.commands.reading import ReadingConfig
from molnet.training.interruption import number_of, word_for

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from molnet.models import Model
    from molnet.simulate.molecular_dynamics import DynamicsSettings, DynamicsSummary


@dataclass
class MDConfig(ReadingConfig):
    """All settings of ``conf/md.yaml``, see
    :class:`molnet.simulate.molecular_dynamics.DynamicsSettings`.
    """

    model: str
    input: Any
    output: str | None
    resume: str | None
    ensemble: str
    temperature: Any
    time: float
    timestep: float
    interval: int
    replicas: int
    thermostat_time: float
    pressure: float
    barostat_time: float
    compressibility: float
    seed: int
    stop_distance: float | None
    device: str | None
    dtype: str | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    with importing():
        from molnet.commands.arguments import settings_of
        from molnet.commands.command_line import run_command
        from molnet.commands.explained import explained

    with explained():
        given = list(sys.argv[1:] if arguments is None else arguments)
        given = settings_of("md", given, inputs)
    chosen = {argument.partition("=")[0] for argument in given}
    run_command("md", lambda config: md(config, chosen), given)


def md(config: "DictConfig", chosen: set[str]) -> None:
    """Run dynamics as the settings say, and print a summary.

    Args:
        config: ``conf/md.yaml`` and the command line.
        chosen: the keys that the command line sets; a run that is continued keeps the others.
    """
    with importing():
        from molnet.graph.frames import resolve_paths
        from molnet.kernels.allocator import reuse_freed_memory
        from molnet.simulate.inputs import default_name
        from molnet.simulate.molecular_dynamics import (
            model_of_run,
            resume_dynamics,
            run_dynamics,
        )
        from molnet.training.config import conform
        from molnet.training.errors import ConfigError
        from molnet.training.paths import file_name, file_names, model_folder
        from molnet.training.ranges import check_ranges

    settings = conform(config, MDConfig)
    check_ranges(settings)
    reuse_freed_memory()
    if settings.resume is not None:
        folder = file_name("resume", settings.resume)
        kept = chosen - {"resume", "time", "model", "device", "dtype"}
        if kept:
            raise ConfigError(
                f"resume={settings.resume} keeps the settings of the run, except for time: leave "
                f"out {', '.join(sorted(kept))}"
            )
        named = settings.model if "model" in chosen else model_of_run(folder)
        model = _loaded(model_folder("model", named), settings)
        time = settings.time if "time" in chosen else None
        with _interruption_explained(folder):
            _show(resume_dynamics(model, folder, time))
        return
    if settings.input is None:
        raise ConfigError("input is not set: molnet md FILE")
    input = file_names("input", settings.input)
    files = resolve_paths(input)  # a missing file is told before the model is loaded
    name = default_name(files, "md", "dynamics.md")
    output = file_name("output", settings.output) if settings.output else name
    how, reading = _dynamics_settings(settings), settings.reading
    folder = model_folder("model", settings.model)
    model = _loaded(folder, settings)
    origin = settings.model if folder != settings.model else str(Path(folder).absolute())
    with _interruption_explained(output):
        _show(run_dynamics(model, input, output, how, origin=origin, reading=reading))


def _show(summary: "DynamicsSummary") -> None:
    from molnet.commands.pages import page_of_dynamics

    print(summary)
    print(f"to look at: {page_of_dynamics(summary)}")


def _loaded(folder: str, settings: MDConfig) -> "Model":
    from molnet.models import load_model

    return load_model(folder, settings.device, settings.dtype)


def _dynamics_settings(settings: MDConfig) -> "DynamicsSettings":
    """Raises ConfigError for a temperature that is no number, nor a list of numbers."""
    from molnet.simulate.integrators import Ensemble
    from molnet.simulate.molecular_dynamics import DynamicsSettings
    from molnet.training.config import check_choice
    from molnet.training.errors import ConfigError, typed

    check_choice("ensemble", settings.ensemble, get_args(Ensemble))
    given = settings.temperature
    temperatures = given if isinstance(given, list) else [given]
    if not temperatures or not all(_is_temperature(value) for value in temperatures):
        raise ConfigError(
            f"temperature={typed(given)}: expected a number >= 0 in K, or several, [300,600]"
        )
    names = {entry.name for entry in fields(DynamicsSettings)} - {"temperatures"}
    same = {name: getattr(settings, name) for name in names}
    return DynamicsSettings(**same, temperatures=[float(value) for value in temperatures])


def _is_temperature(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


@contextmanager
def _interruption_explained(folder: str | Path) -> Iterator[None]:
    """Within this block Ctrl-C and SIGTERM end the process with the command to go on."""
    from molnet.training.invocation import command

    try:
        yield
    except KeyboardInterrupt as interruption:
        number = number_of(interruption)
        resume = shlex.quote(f"resume={folder}")
        print(
            f"\n{word_for(number)}. Continue with\n\n  {command('md')} {resume}\n",
            file=sys.stderr,
        )
        sys.exit(128 + number)
