"""Checks of the settings of network and heads, the same as for a saved model."""

from collections.abc import Mapping
from typing import Any

from molnet.models.head import Head
from molnet.models.settings import (
    check_features,
    check_heads,
    check_network,
    check_shapes,
)
from molnet.properties import get_property
from molnet.training.calls import class_named
from molnet.training.config import ConfigError, TrainConfig


def named_heads(heads: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Heads by their ``kind``, also those of one's own, which are given by ``_target_``.

    Raises:
        ConfigError: the module of a head cannot be imported, or has no such head.
    """
    named = {}
    for name, head in heads.items():
        if "_target_" in head:
            where = f"target.heads.{name}"
            if "kind" in head:
                raise ConfigError(f"{where}: expected kind or _target_, got both")
            class_named(head["_target_"], f"{where}._target_", Head)
            head = {"kind": head["_target_"]} | {k: v for k, v in head.items() if k != "_target_"}
        named[name] = head
    return named


def check_model(settings: TrainConfig) -> None:
    """Check ``model`` and ``target.heads``, and that each head can predict its property.

    Raises:
        ConfigError: an option is unknown, of a wrong type or out of range, or a head cannot predict
            the shape of its property.
    """
    for where, check, node in (
        ("model: ", check_network, vars(settings.model)),
        ("target.heads: ", check_heads, settings.target.heads),
    ):
        try:
            check(node)
        except ValueError as error:
            raise ConfigError(f"{where}{error}") from error
    declared = settings.target.declared()
    try:
        check_shapes(
            settings.target.heads,
            {name: get_property(name, declared) for name in settings.target.heads},
        )
        check_features(vars(settings.model), settings.target.heads)
    except ValueError as error:
        raise ConfigError(str(error)) from error
