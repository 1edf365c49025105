"""Settings that name a class: data set, optimizer, scheduler, loggers, more callbacks.

The settings may come from a file that somebody else has made: the record of a run, or a checkpoint.
So a name must be that of a subclass of what is needed, and nothing else is called.
"""

import inspect
import math
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from molnet.training.errors import ConfigError, did_you_mean, typed


def class_named(name: Any, where: str, base: type) -> type:
    """The subclass of ``base`` that the setting ``where`` names, found by importing its module.

    Raises:
        ConfigError: the module is not there, or has no such subclass; names the nearest one.
    """
    expected = f"expected MODULE.CLASS, a subclass of {base.__module__}.{base.__qualname__}"
    if not isinstance(name, str) or not re.fullmatch(r"\w+(\.\w+)+", name):
        raise ConfigError(f"{where}={typed(name)}: {expected}")
    place, _, word = name.rpartition(".")
    try:
        module = import_module(place)
    except ImportError as error:
        raise ConfigError(f"{where}={name}: {expected}, but {error}") from error
    found = getattr(module, word, None)
    if inspect.isclass(found) and issubclass(found, base):
        if lacking := getattr(found, "__abstractmethods__", None):
            raise ConfigError(f"{where}={name}: the class lacks {', '.join(sorted(lacking))}")
        return found
    # dir and getattr: packages of molnet import their names on first use.
    members = {key: getattr(module, key) for key in dir(module)}
    known = [
        key
        for key, value in members.items()
        if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
    ]
    there = did_you_mean(word, known) if known else f"{place} has none"
    raise ConfigError(f"{where}={name}: {expected}: {there}")


def check_call(node: dict[str, Any], where: str, base: type) -> None:
    """Check that ``node["_target_"]`` is a subclass of ``base`` that takes the other keys.

    Raises:
        ConfigError: it is not; a key is unknown, a number is none, or a value is to be made itself.
    """
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigError(f"{where}: expected _target_ (the full name of a class), got {node!r}")
    target = class_named(node["_target_"], f"{where}._target_", base)
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        if _names_a_call(value):
            raise ConfigError(
                f"{where}.{key}: expected plain values, got one with a _target_ of its own"
            )
        if key in parameters:
            _check_number(f"{where}.{key}", value, parameters[key].annotation)
        elif not takes_any and key not in ("_target_", "_partial_"):
            raise ConfigError(
                f"unknown option {where}.{key} of {node['_target_']}: "
                f"{did_you_mean(key, parameters)}"
            )


def made(node: dict[str, Any], where: str, *arguments: Any) -> Any:
    """Call the class ``node["_target_"]`` with the other keys of ``node``, which is checked.

    Raises:
        ConfigError: the call fails.
    """
    try:
        result = instantiate(node)
        return result(*arguments) if arguments else result
    except (InstantiationException, TypeError, ValueError) as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from error
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"{where}: {node['_target_']} failed: {reason}") from error


def _names_a_call(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_names_a_call, value.values()))
    if isinstance(value, Iterable) and not isinstance(value, str):
        return any(map(_names_a_call, value))
    return False


def _check_number(where: str, value: Any, annotation: Any) -> None:
    expected = {int: int, float: int | float}.get(annotation)
    if expected is None:
        return
    if isinstance(value, bool) or not isinstance(value, expected) or not math.isfinite(value):
        kind = "a whole number" if annotation is int else "a finite number"
        raise ConfigError(f"{where}={typed(value)}: expected {kind}")
