"""Ranges of the numbers among the settings."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from molnet.properties import Property, get_property
from molnet.training.errors import ConfigError, typed
from molnet.units import UnitError, conversion_factor

LOWEST = {
    "seed": 0,
    "threads": 1,
    "batch_size": 1,
    "max_atoms": 1,
    "dataset.split_seed": 0,
    "dataset.batch_size": 1,
    "dataset.max_atoms": 1,
    "dataset.max_edges": 1,
    "dataset.workers": 0,
    "trainer.max_epochs": 1,
    "trainer.max_steps": 1,
    "trainer.threads": 1,
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.accumulate": 1,
    "trainer.gradient_clip": 0,
    "interval": 1,
    "replicas": 1,
    "max_steps": 0,
    "callbacks.checkpoint_minutes": 0,
    "callbacks.early_stopping_patience": 0,
}
HIGHEST = {"seed": 2**32 - 1}
"""The largest seed of NumPy's generator."""


def check_ranges(settings: Any) -> None:
    """Check the numbers in a dataclass of settings, and in those that it holds.

    Raises:
        ConfigError: one of them is too small, too large or not finite.
    """
    for key, value in _numbers(vars(settings)):
        low, high = LOWEST.get(key, -math.inf), HIGHEST.get(key, math.inf)
        if not (low <= value <= high and math.isfinite(value)):
            bounds = f" from {low}" * math.isfinite(low) + f" to {high}" * math.isfinite(high)
            raise ConfigError(f"{key}={typed(value)}: expected a finite number{bounds}")


def checked_references(
    references: dict[str, dict[str, Any]], declared: Mapping[str, Property]
) -> dict[str, dict[str, float]]:
    """Reference energies by property and symbol, in the property's internal unit.

    Args:
        references: by property; for each the energies by symbol, and their ``unit`` if it is not
            the internal one.
        declared: properties beyond :data:`molnet.properties.PROPERTIES`.

    Raises:
        ConfigError: a symbol is not an element, an energy is not a finite number, or the unit is
            not one of the property.
    """
    checked = {}
    for name, given in references.items():
        energies, where = dict(given), f"target.references.{name}"
        unit, factor = energies.pop("unit", None), 1.0
        if unit is not None:
            try:
                factor = conversion_factor(unit, get_property(name, declared).unit)
            except (KeyError, UnitError) as error:
                raise ConfigError(f"{where}.unit: {error.args[0]}") from error
        checked[name] = {
            str(symbol): factor * _reference(f"{where}.{symbol}", str(symbol), value)
            for symbol, value in energies.items()
        }
    return checked


def _reference(key: str, symbol: str, value: Any) -> float:
    # Imported here, as it loads torch, which those who only want names of settings do without.
    from molnet.graph.elements import ATOMIC_NUMBERS

    if symbol not in ATOMIC_NUMBERS:
        raise ConfigError(f"{key}: expected the symbol of an element, such as Si, got {symbol!r}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}={typed(value)}: expected the energy of one atom, a finite number")
    return float(value)


def _numbers(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, int | float]]:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value
        elif isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif hasattr(value, "__dataclass_fields__"):
            yield from _numbers(vars(value), f"{prefix}{name}.")
