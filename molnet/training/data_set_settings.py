"""The settings of a data set, as an instance of the class that they name."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any

from molnet.datasets.base import NAMES_FILES, DataSet
from molnet.training.calls import class_named
from molnet.training.config import conform
from molnet.training.errors import ConfigError
from molnet.training.paths import absolute, file_names, located


def checked_data_set(node: Any) -> DataSet:
    """The data set of the class ``node["_target_"]``, with the other keys of ``node`` as options.

    The settings may come from the record of a run that somebody else has made. So nothing is called
    but a subclass of :class:`molnet.datasets.DataSet`, which is found by importing its module, and
    nothing within the options is called at all.

    Raises:
        ConfigError: the name is not that of a data set; an option is unknown, missing, of a wrong
            type, or refused by the data set.
    """
    options = dict(node) if isinstance(node, Mapping) else {}
    kind = _class_of(options.pop("_target_", None))
    try:
        data_set: DataSet = conform(options, kind, "dataset")
    except ConfigError:
        raise
    except ValueError as error:  # of the class itself
        raise ConfigError(f"dataset: {error}") from error
    _locate_files(data_set)
    return data_set


def plain_data_set(data_set: DataSet, target: str) -> dict[str, Any]:
    """Plain values of which :func:`checked_data_set` makes the data set again.

    Args:
        data_set: the data set.
        target: the name of its class, as the user gave it.
    """
    return {"_target_": target, **_plain(asdict(data_set))}


def options_of_class(target: Any) -> list[str]:
    """The options that the class of a data set has.

    Raises:
        ConfigError: ``target`` is not the name of a data set's class.
    """
    return [entry.name for entry in fields(_class_of(target))]


def _class_of(target: Any) -> type[DataSet]:
    kind = class_named(target, "dataset._target_", DataSet)
    if vars(kind).get("__annotations__") and "__dataclass_fields__" not in vars(kind):
        raise ConfigError(
            f"dataset._target_={target}: the class has fields of its own, so it needs "
            "@dataclass(kw_only=True) above it"
        )
    return kind


def _locate_files(data_set: DataSet) -> None:
    """Make the names of files absolute."""
    for entry in fields(data_set):
        value = getattr(data_set, entry.name)
        if isinstance(value, Path):
            setattr(data_set, entry.name, located(str(value)).absolute())
        elif NAMES_FILES in entry.metadata:
            if value == entry.default or value in entry.metadata[NAMES_FILES]:
                continue
            names = absolute(file_names(f"dataset.{entry.name}", value))
            setattr(data_set, entry.name, names)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else value
