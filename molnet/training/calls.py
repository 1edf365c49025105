"""Settings that name a class or function: optimizer, scheduler, loggers, more callbacks."""

import inspect
import math
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from molnet.training.errors import ConfigError, did_you_mean, typed


def check_call(node: dict[str, Any], where: str) -> None:
    """Check that the callable ``node["_target_"]`` exists and takes the other keys of ``node``."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigError(f"{where}: expected _target_ (the full name of a class), got {node!r}")
    try:
        target = get_object(node["_target_"])
        parameters = inspect.signature(target).parameters
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())  # Hydra takes several lines
        raise ConfigError(f"{where}._target_={typed(node['_target_'])}: {reason}") from error
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        if key in parameters:
            _check_number(f"{where}.{key}", value, parameters[key].annotation)
        elif not takes_any and key not in ("_target_", "_partial_"):
            raise ConfigError(
                f"unknown option {where}.{key} of {node['_target_']}: "
                f"{did_you_mean(key, parameters)}"
            )


def made(node: dict[str, Any], where: str, *arguments: Any) -> Any:
    """Call ``node["_target_"]`` with the other keys of ``node``, and return its result.

    Raises:
        ConfigError: the call fails.
    """
    try:
        result = instantiate(node)
        return result(*arguments) if arguments else result
    except (InstantiationException, TypeError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"{where}: {node['_target_']} failed: {reason}") from error


def _check_number(where: str, value: Any, annotation: Any) -> None:
    expected = {int: int, float: int | float}.get(annotation)
    if expected is None:
        return
    if isinstance(value, bool) or not isinstance(value, expected) or not math.isfinite(value):
        kind = "a whole number" if annotation is int else "a finite number"
        raise ConfigError(f"{where}={typed(value)}: expected {kind}")
