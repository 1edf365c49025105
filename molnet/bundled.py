"""What comes with molnet: its settings, its data and its models.

In a checkout they are the folders ``conf/`` and ``data/`` beside the package, in a wheel they are
inside it.
"""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent
"""The folder that holds ``conf/`` and ``data/``."""

CONF = ROOT / "conf"
DATA = ROOT / "data"
MODELS = DATA / "models"

PLUGINS = _PACKAGE / "sweeps" / "plugin"
"""Holds a package ``hydra_plugins``, where Hydra finds sweepers if this folder is on the path."""

DEFAULT_MODEL = "organic"
"""The model of predictions that name none."""


def bundled_models() -> dict[str, Path]:
    """The folders of the models that come with molnet, by name."""
    return {path.parent.name: path.parent for path in sorted(MODELS.glob("*/config.json"))}


def resolve_model(name: str | Path) -> Path:
    """The folder that a model's name stands for: that of a bundled model, or the name itself.

    A folder of one's own that has the name of a bundled model is written as ``./NAME``.

    Raises:
        TypeError: it is neither a text nor a path.
    """
    if not isinstance(name, str | os.PathLike):
        known = ", ".join(bundled_models())
        raise TypeError(f"expected the name of a model ({known}) or a folder, got {name!r}")
    # Path("./organic") would lose what sets it apart, so only texts can be names.
    if isinstance(name, str) and name in bundled_models():
        return MODELS / name
    return Path(name)


def name_of_bundled(folder: str | Path) -> str | None:
    """The name of the bundled model in a folder; None for any other folder."""
    folder = Path(folder)
    return folder.name if folder.parent == MODELS else None
