"""Saved models: a folder with ``model.safetensors`` and ``config.json``.

Nothing in it is executed when it is loaded: weights are plain arrays, the configuration is JSON,
and the model is built by name from :data:`molnet.models.heads.HEADS`. A head of one's own is found
among the classes that the program has imported (:mod:`molnet.models.kinds`). The configuration
holds the SHA-256 of the weights and of its own content, so that damage, edits and mixed-up files
are found.

A model that is saved again is there at every moment, on every file system. The new weights are
written beside the old ones, under :data:`NEXT_WEIGHTS`; the new configuration, which names their
hash, takes the place of the old one in one step; then the weights take theirs. Whoever reads in
between, or after a save that was killed there, finds under one of the two names the weights that
the configuration belongs to.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import molnet
from molnet.bundled import bundled_models, resolve_model
from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.models.kinds import NotImportedError
from molnet.models.model import Model
from molnet.models.schema import check_config
from molnet.models.settings import LATER, fewest_weights
from molnet.nearest import hint
from molnet.properties import Property
from molnet.stored import (
    check_seal,
    file_checksum,
    read_object,
    sealed,
    synchronise,
    write_durably,
)

FORMAT_VERSION = 5
OLDEST_VERSION = 3
"""Before, there were no hashes."""

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
NEXT_WEIGHTS = "model.next.safetensors"
NEXT_CONFIG = "config.next.json"

READINGS = 3
"""How often a model is read until its two files belong together: it may be saved meanwhile."""


class ModelFormatError(ValueError):
    """A folder does not hold a model that this version can read."""


CHANGED_SINCE_4 = ("intensive", "spatial_extent")
"""Kinds of heads that have other weights since."""


def _from_4(config: dict[str, Any]) -> dict[str, Any]:
    heads = config.get("heads")  # not checked yet
    for name, head in heads.items() if isinstance(heads, dict) else ():
        kind = head.get("kind") if isinstance(head, dict) else None
        if kind in CHANGED_SINCE_4:
            raise ModelFormatError(
                f"its head {name} ({kind}) is of an earlier molnet and cannot be read any more: "
                "train the model again"
            )
    return config


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    3: dict,  # which had no domain, and need none
    4: _from_4,
}
"""For each old format version the function that turns its config into that of the next one."""


def save_model(model: Model, folder: str | Path) -> Path:
    """Write a model so that :func:`load_model` gives it back exactly.

    A model that is in the folder already is replaced, and can be loaded at every moment.

    Args:
        model: any model.
        folder: where to write it.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be written; the model that was there is kept.
    """
    folder = Path(folder)
    weights = save(
        {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    )
    config = {
        "format_version": FORMAT_VERSION,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "molnet": molnet.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **model.config,
    }
    text = json.dumps(sealed(config), indent=2, ensure_ascii=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    _end_interrupted_save(folder)
    try:
        write_durably(folder / NEXT_WEIGHTS, weights)
        write_durably(folder / NEXT_CONFIG, text.encode())
    except OSError:
        for name in (NEXT_WEIGHTS, NEXT_CONFIG):
            (folder / name).unlink(missing_ok=True)
        raise
    (folder / NEXT_CONFIG).replace(folder / CONFIG)  # from here on it is the new model
    synchronise(folder)
    (folder / NEXT_WEIGHTS).replace(folder / WEIGHTS)
    synchronise(folder)
    return folder


def load_model(
    folder: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
) -> Model:
    """Read a saved model, ready to predict (in evaluation mode).

    Args:
        folder: the name of a bundled model (:func:`molnet.bundled.bundled_models`), a folder that
            :func:`save_model` wrote, or a run's folder that holds one as ``model/``.
        device: where to put it; by default CUDA when there is one, else the CPU.
        dtype: ``torch.float32`` or ``float64``, or its name; by default the one that it was trained
            in.

    Raises:
        FileNotFoundError: there is no such folder, or no model in it.
        ModelFormatError: the model is damaged or was edited, or is of a format that is newer or too
            old.
        ValueError: the device is not there, or the type is another one.
    """
    device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = None if dtype is None else floating_type(dtype)
    folder = folder_of_model(folder)
    config, data = _read(folder)
    try:
        weights = load(data)
    except SafetensorError as error:
        raise _damaged(folder / WEIGHTS, str(error)) from error
    model = _build(folder, config, sum(tensor.numel() for tensor in weights.values()))
    problem = _difference(model.state_dict(), weights)
    if problem is not None:
        raise _damaged(folder / WEIGHTS, problem)
    model.load_state_dict(weights)
    return model.to(device=device, dtype=dtype).eval()


def folder_of_model(name: str | Path) -> Path:
    """The folder that holds the files of a saved model.

    Args:
        name: as :func:`load_model` takes it.

    Raises:
        FileNotFoundError: there is no such folder, or no model in it.
    """
    folder = Path(os.path.expanduser(resolve_model(name)))  # which leaves ~nobody as it is
    if not (folder / CONFIG).is_file() and (folder / "model" / CONFIG).is_file():
        folder = folder / "model"
    for names in ((CONFIG,), (WEIGHTS, NEXT_WEIGHTS)):
        if not any((folder / name).is_file() for name in names):
            raise FileNotFoundError(_no_model(folder, names[0]))
    return folder


def model_of(config: Mapping[str, Any]) -> Model:
    """A model with fresh weights and the settings that ``Model.config`` has told.

    Raises:
        ValueError: the settings do not fit together.
    """
    return Model(
        network={**LATER, **config["network"]},
        heads=config["heads"],
        species=[ATOMIC_NUMBERS[symbol] for symbol in config["species"]],
        statistics=config["statistics"],
        properties={
            name: Property(**(entry | {"shape": tuple(entry["shape"])}))
            for name, entry in config["properties"].items()
        },
        provenance=config["provenance"],
        domain=config.get("domain"),
    )


def floating_type(dtype: torch.dtype | str) -> torch.dtype:
    """The type of that name, of those that a model can have.

    Raises:
        ValueError: another type.
    """
    known = {"float32": torch.float32, "float64": torch.float64}
    found = known.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ValueError(f"expected dtype float32 or float64, received {dtype!r}")
    return found


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The configuration, and the weights that belong to it."""
    for _ in range(READINGS):
        config = _read_config(folder / CONFIG)
        for name in (WEIGHTS, NEXT_WEIGHTS):
            with suppress(FileNotFoundError):
                data = (folder / name).read_bytes()
                if hashlib.sha256(data).hexdigest() == config["weights_sha256"]:
                    return config, data
    raise _damaged(folder / WEIGHTS, f"its SHA-256 is not the one in {CONFIG}")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_object(path)
    except ValueError as error:
        raise ModelFormatError(f"{path} is not the configuration of a model: {error}") from error
    version = config.get("format_version")
    if type(version) is not int or version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version!r}, this molnet ({molnet.__version__}) reads up "
            f"to {FORMAT_VERSION}: install a newer molnet"
        )
    if version < OLDEST_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, this molnet ({molnet.__version__}) reads "
            f"{OLDEST_VERSION} to {FORMAT_VERSION}: train the model again"
        )
    try:
        check_seal(config, path.name)
        while version < FORMAT_VERSION:
            config = UPGRADES[version](config)
            version += 1
        check_config(config)
    except (ModelFormatError, NotImportedError) as error:
        raise ModelFormatError(f"{path}: {error}") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return config


def _no_model(folder: Path, missing: str) -> str:
    if folder.is_dir():
        found = f"expected a saved model in {folder}, but it has no {missing}"
    else:
        found = f"there is no model {folder}, neither a folder nor one that comes with molnet"
    meant = "" if folder.is_dir() else hint(str(folder), bundled_models())
    return f"{found}. Give the folder model/ of a run, or the run's own folder.{meant}"


def _build(folder: Path, config: dict[str, Any], numbers: int) -> Model:
    """The model that a configuration describes, unless it has more weights than there are."""
    path = folder / CONFIG
    needed = fewest_weights(config["network"], len(config["species"]))
    if domain := config.get("domain"):
        needed += domain["dimensions"] * sum(domain["references"])
    if numbers < needed:
        raise _damaged(
            path,
            f"it describes a network of more than {needed:,} weights, {WEIGHTS} has {numbers:,}",
        )
    try:
        model = model_of(config)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return model.to(getattr(torch, config["dtype"]))


def _difference(expected: dict[str, Tensor], found: dict[str, Tensor]) -> str | None:
    """In which way weights are not those of a model, if they are not."""
    if expected.keys() != found.keys():
        name = min(expected.keys() ^ found.keys())
        return f"it belongs to another model: it holds {name if name in found else f'no {name}'}"
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape or tensor.dtype != found[name].dtype:
            return (
                f"it belongs to another model: expected {name} to be {list(tensor.shape)} of "
                f"{tensor.dtype}, got {list(found[name].shape)} of {found[name].dtype}"
            )
        if not torch.isfinite(found[name]).all():
            return f"{name} holds weights that are not finite numbers"
    return None


def _damaged(path: Path, reason: str) -> ModelFormatError:
    return ModelFormatError(
        f"{path} is damaged, or was edited: {reason}. Copy the model's folder again from where it "
        "came, or train the model again."
    )


def _end_interrupted_save(folder: Path) -> None:
    """Give the weights their name if a save was killed between its two steps."""
    with suppress(ValueError, OSError):  # without a whole model there, there is nothing to keep
        config = read_object(folder / CONFIG)
        if file_checksum(folder / NEXT_WEIGHTS) == config.get("weights_sha256"):
            (folder / NEXT_WEIGHTS).replace(folder / WEIGHTS)


def _usable(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch raises either for a missing device
        raise ValueError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}. Choose "
            "cpu, or cuda or mps where there is one and PyTorch is built for it."
        ) from error
