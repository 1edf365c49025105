"""Saved models: a folder with ``model.safetensors`` and ``config.json``.

Nothing in it is executed when it is loaded: weights are plain arrays, the configuration is JSON,
and the model is built by name from :data:`molnet.models.heads.HEADS`.
"""

import json
import platform
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

import molnet
from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.models.model import Model
from molnet.properties import Property

FORMAT_VERSION = 2
OLDEST_VERSION = 2
"""Before, the splines of radial functions smoothed them: the same weights meant other functions."""

WEIGHTS = "model.safetensors"
CONFIG = "config.json"

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each old format version the function that turns its config into that of the next one."""


class ModelFormatError(ValueError):
    """A folder does not hold a model that this version can read."""


def save_model(model: Model, folder: str | Path) -> Path:
    """Write a model so that :func:`load_model` gives it back exactly.

    The folder appears whole or not at all; one that exists already is replaced.

    Args:
        model: any model.
        folder: where to write it.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "format_version": FORMAT_VERSION,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "molnet": molnet.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "dtype": str(model.dtype).removeprefix("torch."),
        **model.config,
    }
    weights = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (partial / WEIGHTS).write_bytes(save(weights))
        (partial / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load_model(
    folder: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Model:
    """Read a saved model, ready to predict (in evaluation mode).

    Args:
        folder: a folder that :func:`save_model` wrote, or a run's folder that holds one as
            ``model/``.
        device: where to put it; by default CUDA when there is one, else the CPU.
        dtype: floating-point type; by default the one that it was trained in.

    Raises:
        FileNotFoundError: there is no such folder, or no model in it.
        ModelFormatError: the model is damaged, or of a format that is newer or too old.
        ValueError: the device is not there.
    """
    device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    folder = Path(folder)
    if not (folder / CONFIG).is_file() and (folder / "model" / CONFIG).is_file():
        folder = folder / "model"
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"expected a saved model in {folder}, but it has no {name}. Give the folder "
                "model/ of a run, or the run's own folder."
            )
    config = _read_config(folder / CONFIG)
    model = Model(
        network=config["network"],
        heads=config["heads"],
        species=[ATOMIC_NUMBERS[symbol] for symbol in config["species"]],
        statistics=config["statistics"],
        properties={
            name: Property(**(fields | {"shape": tuple(fields["shape"])}))
            for name, fields in config["properties"].items()
        },
        provenance=config["provenance"],
    ).to(dtype or getattr(torch, config["dtype"]))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        raise ModelFormatError(
            f"{folder / WEIGHTS} does not hold the weights that {CONFIG} describes; the file is "
            f"damaged or belongs to another model: {error}"
        ) from error
    return model.to(device).eval()


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch raises either for a missing device
        raise ValueError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}. Choose "
            "cpu, or cuda or mps where there is one and PyTorch is built for it."
        ) from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        version = config["format_version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{path} is not the configuration of a model: {error!r}") from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version!r}, this molnet ({molnet.__version__}) reads up "
            f"to {FORMAT_VERSION}: install a newer molnet"
        )
    if version < OLDEST_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, this molnet ({molnet.__version__}) reads "
            f"{OLDEST_VERSION} to {FORMAT_VERSION}: train the model again"
        )
    while version < FORMAT_VERSION:
        config = UPGRADES[version](config)
        version += 1
    return config
