"""Predict energies, forces and other properties for structure files.

    molnet predict FILE... [model=NAME|FOLDER] [output=FILE] [KEY=VALUE ...]

Files are plain arguments, ``input=[a.xyz,b.cif]``, or a glob in quotes, ``'input=runs/*.xyz'``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molnet.bundled import name_of_bundled
from molnet.commands.importing import importing
from molnet.commands.reading import ReadingConfig
from molnet.commands.running import run_on_files
from molnet.inputs import resolve_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass
class PredictConfig(ReadingConfig):
    """All settings of ``conf/predict.yaml``, see :func:`molnet.simulate.predict_files`."""

    model: str
    input: Any
    output: str | None
    batch_size: int
    max_atoms: int
    device: str | None
    dtype: str | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line without the names of program and command; by default the
            process's own.
    """
    run_on_files("predict", predict, arguments, inputs)


def inputs(files: list[str], given: set[str]) -> list[str]:
    """The settings that plain names stand for: structure files, and a model before them.

    Raises:
        ConfigError: the files are named twice.
    """
    from molnet.commands.arguments import as_list
    from molnet.training.errors import ConfigError

    settings = []
    if "model" not in given and is_model(files[0]):
        settings.append(f"model={as_list(files[:1])}")
        files = files[1:]
    if files and "input" in given:
        raise ConfigError(f"{files[0]}: the structure files are given by input= already")
    return [*settings, f"input={as_list(files)}"] if files else settings


def is_model(name: str) -> bool:
    """Whether this is the name of a bundled model, or the folder of a model or of its run."""
    from molnet.bundled import bundled_models

    folders = (Path(name), Path(name) / "model")
    return any((folder / "config.json").is_file() for folder in folders) or (
        name in bundled_models() and not Path(name).is_file()
    )


def predict(config: "DictConfig") -> None:
    """Predict as the settings of ``conf/predict.yaml`` say, and print a summary."""
    settings = _checked(config)
    check_files(settings.input)  # before torch is loaded, which takes its time
    with importing():
        from molnet.kernels.allocator import reuse_freed_memory
        from molnet.simulate import predict_files

    reuse_freed_memory()
    summary = predict_files(**vars(settings))
    level = summary.model.provenance.get("level_of_theory") or "level of theory not stated"
    print(f"model {name_of_bundled(settings.model) or settings.model}, {level}\n{summary}")


def _checked(config: "DictConfig") -> PredictConfig:
    from molnet.training.config import after_imports, conform
    from molnet.training.paths import file_name, file_names, model_folder
    from molnet.training.ranges import check_ranges

    checked = conform(after_imports(config), PredictConfig)
    checked.model = model_folder("model", checked.model)
    checked.input = file_names("input", checked.input)
    if checked.output is not None:
        checked.output = file_name("output", checked.output)
    check_ranges(checked)
    return checked


def check_files(names: str | list[str]) -> None:
    """Raise an error for a structure file that is not there or cannot be opened."""
    for name in [names] if isinstance(names, str) else names:
        for path in resolve_paths(name):
            with open(path, "rb"):
                pass
