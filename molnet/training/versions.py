"""What computed a result: versions of the libraries, and the commit of a checkout."""

import platform
import subprocess
from functools import cache
from pathlib import Path

import numpy
import pytorch_lightning
import torch

import molnet


def versions() -> dict[str, str]:
    """Versions by name; with ``commit`` where molnet runs from a checkout."""
    state = commit(Path(molnet.__file__).parents[1])
    return {
        "molnet": molnet.__version__,
        **({} if state is None else {"commit": state}),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": pytorch_lightning.__version__,
        "numpy": numpy.__version__,
    }


@cache
def commit(folder: Path) -> str | None:
    """The commit of the checkout in a folder, with ``-dirty`` where tracked files differ from it.

    None where the folder is no checkout, or where there is no git.
    """
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
