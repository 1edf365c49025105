"""Energies of structures from files along a distance, an angle or a torsion.

molnet scan FILE... coordinate=[I,J,K,L] [from=VALUE to=VALUE steps=N] [KEY=VALUE ...]
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molnet.commands.importing import importing
from molnet.commands.predict import inputs
from molnet.commands.reading import ReadingConfig
from molnet.commands.running import opened, run_on_files

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from molnet.simulate.internal_coordinate import InternalCoordinate


@dataclass
class ScanConfig(ReadingConfig):
    """All settings of ``conf/scan.yaml`` but ``from`` and ``to``, which Python reserves."""

    model: str
    input: Any
    output: str | None
    coordinate: Any
    steps: int
    relax: bool
    fmax: float
    max_steps: int
    max_atoms: int
    device: str | None
    dtype: str | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    run_on_files("scan", scan, arguments, inputs)


def scan(config: "DictConfig") -> None:
    """Scan as the settings say, and print a table for each structure."""
    with importing():
        from omegaconf import OmegaConf

        from molnet.commands.pages import page_of_scan
        from molnet.simulate.scan_files import ScanSettings, scan_files
        from molnet.training.config import conform
        from molnet.training.interruption import Request
        from molnet.training.ranges import check_ranges

    given: Any = OmegaConf.to_container(config, resolve=True)
    start, stop = (_number(key, given.pop(key)) for key in ("from", "to"))
    settings = conform(given, ScanConfig)
    check_ranges(settings)
    how = ScanSettings(
        _coordinate(settings.coordinate),
        start,
        stop,
        settings.steps,
        settings.relax,
        settings.fmax,
        settings.max_steps,
        settings.max_atoms,
    )
    reading = settings.reading
    model, input, output = opened(settings)
    with Request().heard() as request:
        for number, result in enumerate(scan_files(model, input, how, output, reading, request)):
            page = page_of_scan(result)
            print(f"\n{result}" if number else result)
            print(f"to look at: {page}", flush=True)
    if request.number is not None:
        sys.exit(128 + request.number)


def _coordinate(given: Any) -> "InternalCoordinate":
    """Raises ConfigError for anything but two to four different atoms."""
    from molnet.simulate.internal_coordinate import CoordinateError, InternalCoordinate
    from molnet.training.errors import ConfigError, typed

    if given is None:
        raise ConfigError(
            "coordinate is not set: coordinate=[0,1] for a distance, [0,1,2] for an angle, "
            "[0,1,2,3] for a torsion; atoms are counted from 0"
        )
    if not isinstance(given, list) or any(type(atom) is not int for atom in given):
        raise ConfigError(
            f"coordinate={typed(given)}: expected two to four atoms by their numbers, [0,1,2,3]"
        )
    try:
        return InternalCoordinate(tuple(given))
    except CoordinateError as error:
        raise ConfigError(f"coordinate: {error}") from error


def _number(key: str, value: Any) -> float | None:
    """Raises ConfigError for anything but a finite number or None."""
    from molnet.training.errors import ConfigError, typed

    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value)):
        raise ConfigError(f"{key}={typed(value)}: expected a number, in Å or degrees")
    return None if value is None else float(value)
