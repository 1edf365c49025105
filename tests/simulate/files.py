"""Structures and files that the tests of predictions share."""

from collections.abc import Callable
from pathlib import Path

import ase.io
from ase import Atoms
from ase.build import bulk, molecule

from molnet.models import Model

MakeModel = Callable[..., Model]
NAMES = ("H2O", "CH3OH", "C2H6", "CO", "CH4")


def structures() -> list[Atoms]:
    """Molecules, a crystal, and an isolated atom."""
    return [*(molecule(name) for name in NAMES), bulk("Cu") * (2, 1, 1), Atoms("C")]


def write(name: str, frames: list[Atoms] | None = None) -> Path:
    ase.io.write(name, frames or structures())
    return Path(name)


def read(name: str | Path) -> list[Atoms]:
    return list(ase.io.read(name, index=":"))


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}
