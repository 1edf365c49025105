"""Relax structures from files, thousands of them at once, and their cells.

molnet relax FILE... [output=FILE] [KEY=VALUE ...]
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from molnet.commands.importing import importing
from molnet.commands.predict import inputs
from molnet.commands.reading import ReadingConfig
from molnet.commands.running import run_on_files
from molnet.training.interruption import number_of, word_for

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass
class RelaxConfig(ReadingConfig):
    """All settings of ``conf/relax.yaml``, see :func:`molnet.simulate.relax_files.relax_files`."""

    model: str
    input: Any
    output: str | None
    fmax: float
    steps: int
    cell: str
    pressure: float
    smax: float
    resume: bool
    max_atoms: int
    device: str | None
    dtype: str | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    run_on_files("relax", relax, arguments, inputs)


def relax(config: "DictConfig") -> None:
    """Relax as the settings of ``conf/relax.yaml`` say, and print a summary."""
    with importing():
        from molnet.commands.relaxation_page import page_of_relaxation
        from molnet.graph.frames import resolve_paths
        from molnet.kernels.allocator import reuse_freed_memory
        from molnet.simulate.coordinates import CellMotion
        from molnet.simulate.inputs import default_output
        from molnet.simulate.relax_files import RelaxationSettings, relax_files
        from molnet.training.config import check_choice, conform
        from molnet.training.paths import file_name, file_names, model_folder
        from molnet.training.ranges import check_ranges

    settings = conform(config, RelaxConfig)
    check_ranges(settings)
    check_choice("cell", settings.cell, get_args(CellMotion))
    input = file_names("input", settings.input)
    files = resolve_paths(input)  # a missing file is told before the model is loaded
    output: str | Path = default_output(files, "relaxed", "relaxed")
    if settings.output is not None:
        output = file_name("output", settings.output)
    reading = settings.reading
    how = RelaxationSettings(
        **{name: getattr(settings, name) for name in RelaxationSettings.__dataclass_fields__}
    )
    reuse_freed_memory()
    with _interruption_explained(Path(output)):
        summary = relax_files(
            model_folder("model", settings.model),
            input,
            output,
            how,
            max_atoms=settings.max_atoms,
            resume=settings.resume,
            device=settings.device,
            dtype=settings.dtype,
            reading=reading,
        )
        print(summary)
        print(f"to look at: {page_of_relaxation(summary, how)}")


@contextmanager
def _interruption_explained(output: Path) -> Iterator[None]:
    """Within this block Ctrl-C and SIGTERM end the process with how to go on."""
    from molnet.simulate.unfinished import folder_of

    try:
        yield
    except KeyboardInterrupt as interruption:
        number = number_of(interruption)
        print(f"\n{word_for(number)}.", end=" ", file=sys.stderr)
        if folder_of(output).exists():
            print(
                f"What was relaxed by then is kept in {folder_of(output)}. Continue with the same "
                "command",
                end="",
                file=sys.stderr,
            )
        print(file=sys.stderr)
        sys.exit(128 + number)
