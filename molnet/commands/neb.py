"""Minimum-energy paths between two structures from files.

molnet neb FIRST LAST [output=FOLDER] [KEY=VALUE ...]
"""

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

NOT_CONVERGED = 2
"""The exit status of a path that is written and not converged."""


@dataclass
class NEBConfig(ReadingConfig):
    """All settings of ``conf/neb.yaml``, see :class:`molnet.simulate.neb_files.PathSettings`."""

    model: str
    input: Any
    output: str | None
    images: int | None
    ends_fmax: float | None
    fmax: float
    steps: int
    climb: bool
    frequencies: bool
    device: str | None
    dtype: str | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    run_on_files("neb", neb, arguments, inputs)


def neb(config: "DictConfig") -> None:
    """Seek a path as the settings say, and print a table; exit status 2 if it did not converge."""
    with importing():
        from molnet.commands.pages import page_of_path
        from molnet.simulate.neb_files import PathSettings, path_between_files
        from molnet.training.config import conform
        from molnet.training.interruption import Request
        from molnet.training.ranges import check_ranges

    settings = conform(config, NEBConfig)
    check_ranges(settings)
    how = PathSettings(
        **{name: getattr(settings, name) for name in PathSettings.__dataclass_fields__}
    )
    reading = settings.reading
    model, input, output = opened(settings)
    with Request().heard() as request:
        result = path_between_files(model, input, how, output, reading, request)
    print(result)
    print(f"to look at: {page_of_path(result)}", flush=True)
    if request.number is not None:
        sys.exit(128 + request.number)
    if not result.path.converged:
        sys.exit(NOT_CONVERGED)
