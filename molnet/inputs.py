"""Structure files by name: found, or refused with what to do, before anything is loaded."""

import glob
from collections.abc import Iterable
from pathlib import Path

from molnet.cache import from_home
from molnet.nearest import nearest


class StructureFileError(ValueError):
    """A structure file, or one frame of it, cannot be read or is not valid."""


def resolve_paths(path: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files of a path, a glob such as ``runs/*/out.xyz``, or a list of these.

    Raises:
        FileNotFoundError: nothing is there; the message names the nearest file.
        StructureFileError: a folder or an empty file.
    """
    if not isinstance(path, str | Path):
        paths = [file for part in path for file in resolve_paths(part)]
        if not paths:
            raise ValueError("expected at least one structure file, got an empty list")
        return paths
    given = from_home(path)
    if given.exists():
        paths = [given]
    else:
        paths = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]
        paths = [file for file in paths if file.is_file()]
    if not paths:
        raise FileNotFoundError(_not_found(given))
    for file in paths:
        if file.is_dir():
            raise StructureFileError(
                f"expected a structure file, got the folder {file}. Name a file in it, or several "
                f"with a glob such as '{file}/*.xyz'."
            )
        if file.stat().st_size == 0:
            raise StructureFileError(f"{file} is empty. Expected at least one structure.")
    return paths


def _not_found(given: Path) -> str:
    folder = given.parent
    if not folder.is_dir():
        return f"no structure file {given}: there is no folder {folder}"
    names = [entry.name for entry in folder.iterdir()]
    found = nearest(given.name, names, cutoff=0.75)
    meant = "" if found is None else f" Did you mean {str(folder / found)!r}?"
    return f"no structure file {given} (working folder: {Path.cwd()}).{meant}"
