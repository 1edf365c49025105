"""File names among the settings, relative to the folder in which the command was typed."""

from pathlib import Path
from typing import Any

from hydra.utils import to_absolute_path

from molnet.bundled import resolve_model
from molnet.cache import from_home
from molnet.training.errors import ConfigError, typed


def located(path: str) -> Path:
    """The file that the user means, relative to the folder in which the command was typed.

    Where Hydra has changed to another folder since (``hydra.job.chdir=true``), the name is made
    absolute; otherwise it stays as it was typed.
    """
    given = from_home(path)
    there = Path(to_absolute_path(str(given)))
    return given if there == given.absolute() else there


def absolute(path: str | list[str]) -> str | list[str]:
    """Names that mean the same files in every folder."""
    if isinstance(path, list):
        return [str(Path(part).absolute()) for part in path]
    return str(Path(path).absolute())


def file_name(where: str, value: Any) -> str:
    """The file or folder that the setting ``where`` names, see :func:`located`.

    Raises:
        ConfigError: the value is not a name.
    """
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}={typed(value)}: expected the name of a file or folder")
    return str(located(value))


def model_folder(where: str, value: Any) -> str:
    """The folder of the model that the setting ``where`` names, which may be a bundled one.

    Raises:
        ConfigError: the value is not a name.
    """
    if isinstance(value, str) and (folder := resolve_model(value)) != Path(value):
        return str(folder)
    return file_name(where, value)


def file_names(where: str, value: Any) -> str | list[str]:
    """The files, globs, or lists of these that the setting ``where`` names.

    Raises:
        ConfigError: the value is not a name or a list of names.
    """
    if isinstance(value, list) and value:
        return [file_name(where, part) for part in value]
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{where}={typed(value)}: expected a file, a glob, or several, [A,B]. A name that "
            f"looks like something else goes in double quotes: '{where}=\"NAME\"'"
        )
    return file_name(where, value)
