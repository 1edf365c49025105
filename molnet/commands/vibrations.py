"""Harmonic vibrations of structures from files, and phonons of crystals.

molnet vibrations FILE... [output=FOLDER] [KEY=VALUE ...]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molnet.commands.importing import importing
from molnet.commands.predict import inputs
from molnet.commands.reading import ReadingConfig
from molnet.commands.running import opened, run_on_files

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass
class VibrationsConfig(ReadingConfig):
    """All settings of ``conf/vibrations.yaml``."""

    model: str
    input: Any
    output: str | None
    fmax: float | None
    indices: list[int] | None
    temperature: float
    pressure: float
    symmetry_number: int
    spin: float
    supercell: Any
    symprec: float
    device: str | None
    dtype: str | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    run_on_files("vibrations", vibrations, arguments, inputs)


def vibrations(config: "DictConfig") -> None:
    """Find vibrations as the settings say, and print a table for each structure."""
    with importing():
        from molnet.commands.pages import page_of_vibrations
        from molnet.commands.phonons_page import page_of_phonons
        from molnet.simulate.phonon_files import PhononsOfFile
        from molnet.simulate.vibration_files import vibrations_of_files
        from molnet.training.config import conform
        from molnet.training.ranges import check_ranges

    settings = conform(config, VibrationsConfig)
    check_ranges(settings)
    reading = settings.reading
    model, input, output = opened(settings)
    results = vibrations_of_files(
        model,
        input,
        output,
        fmax=settings.fmax,
        indices=settings.indices,
        temperature=settings.temperature,
        pressure=settings.pressure,
        symmetry_number=settings.symmetry_number,
        spin=settings.spin,
        supercell=_checked_supercell(settings.supercell),
        symprec=settings.symprec,
        reading=reading,
    )
    for number, result in enumerate(results):
        if isinstance(result, PhononsOfFile):
            page = page_of_phonons(result)
        else:
            page = page_of_vibrations(result)
        print(f"\n{result}" if number else result)
        print(f"to look at: {page}", flush=True)


def _checked_supercell(given: object) -> float | list[int] | None:
    """Raises ConfigError for what is neither a length nor three numbers."""
    from molnet.training.errors import ConfigError, typed

    many = given if isinstance(given, list) else []
    whole = [n for n in many if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    if len(many) == len(whole) == 3:
        return whole
    if given is None or (
        isinstance(given, int | float) and not isinstance(given, bool) and given > 0
    ):
        return given
    raise ConfigError(
        f"supercell={typed(given)}: expected a length > 0 in Å, or how many cells along each "
        "vector, [2,2,2]"
    )
