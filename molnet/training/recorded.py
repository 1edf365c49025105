"""The settings that a run has recorded in its folder, in a file that users may edit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from molnet.training.errors import ConfigError


def recorded_settings(path: Path) -> dict[str, Any]:
    """The content of a run's ``config.yaml``.

    Raises:
        ConfigError: the file is damaged; the message is one line and leaves the advice to callers.
        OSError: the file cannot be read.
    """
    try:
        settings = OmegaConf.to_container(OmegaConf.load(path))
    except (ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())  # YAML's takes several lines
        raise ConfigError(f"{path} is damaged: {reason}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} is damaged: it holds no settings")
    return {str(key): value for key, value in settings.items()}


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings one by one, with their full names.

    >>> dict(leaves({"seed": 0, "trainer": {"dtype": "float32"}}))
    {'seed': 0, 'trainer.dtype': 'float32'}
    """
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
