"""Checks that the heads and losses of a target belong together."""

import math
from dataclasses import replace
from typing import Any

from molnet.properties import get_property
from molnet.training.config import (
    ConfigError,
    PropertyConfig,
    TargetConfig,
    check_choice,
    did_you_mean,
)

DERIVED = ("forces", "stress")


def check_target(target: TargetConfig) -> None:
    """Check that every head predicts a known property, and that a loss trains it.

    Raises:
        ConfigError: a property, head or loss is unknown, a loss weight is not a number of 0 or
            more, or a head is not trained.
    """
    for name, entry in target.properties.items():
        check_choice(f"target.properties.{name}.per", entry.per, ("atom", "structure"))
    declared = target.declared()
    predicted = set(target.heads)
    for options in target.heads.values():
        predicted |= {name for name in DERIVED if options.get(name)}
    for name in target.heads:
        try:
            get_property(name, declared)
        except KeyError as error:
            raise ConfigError(f"target.heads.{name}: {error.args[0]}") from error
    for name, loss in target.losses.items():
        if name not in predicted:
            raise ConfigError(
                f"target.losses.{name}: the heads predict {', '.join(sorted(predicted))}; "
                + _head_that_predicts(name, predicted)
            )
        if not 0 <= loss.weight < math.inf:
            raise ConfigError(
                f"target.losses.{name}.weight={loss.weight}: expected a number, 0 or more"
            )
        if loss.final_weight is not None and not (loss.weight > 0 and loss.final_weight > 0):
            raise ConfigError(
                f"target.losses.{name}: expected weight and final_weight above 0, got "
                f"{loss.weight:g} and {loss.final_weight:g}"
            )
    if not target.losses:
        raise ConfigError("target.losses is empty: give the weight of at least one property")
    for name, head in target.heads.items():
        if "relative" in head:
            raise ConfigError(
                f"target.heads.{name}.relative: leave it out; an energy is relative where no loss "
                "trains it"
            )
        trained_by = [name, *(of for of in DERIVED if _has_derivatives(head))]
        if not any(_weight(target, loss) > 0 for loss in trained_by):
            raise ConfigError(
                f"target.heads.{name} is not trained by any loss, so its predictions would be "
                f"random: give target.losses.{name}.weight a number above 0, or leave this head "
                "out"
            )


def with_relative_energy(target: TargetConfig) -> TargetConfig:
    """The same target, with the energy renamed to relative if only its derivatives are trained.

    Forces leave the zero of the energy open, for each composition separately. Such an energy must
    not be mistaken for a total energy of the data's level of theory.
    """
    for name, head in target.heads.items():
        if _has_derivatives(head) and _weight(target, name) == 0:
            break
    else:
        return target
    relative = f"relative_{name}"
    energy = get_property(name, target.declared())
    return replace(
        target,
        heads={
            relative if key == name else key: head | ({"relative": True} if key == name else {})
            for key, head in target.heads.items()
        },
        losses={key: loss for key, loss in target.losses.items() if key != name},
        properties=target.properties
        | {
            relative: PropertyConfig(
                unit=energy.unit,
                extensive=energy.extensive,
                shown_in=energy.shown_in,
                meaning=f"{energy.meaning or energy.name} with an arbitrary zero",
            )
        },
    )


def _has_derivatives(head: dict[str, Any]) -> bool:
    return any(head.get(name) for name in DERIVED)


def _weight(target: TargetConfig, name: str) -> float:
    return target.losses[name].weight if name in target.losses else 0.0


def _head_that_predicts(name: str, predicted: set[str]) -> str:
    if name in DERIVED:
        return f"add {name}: true to the head of the energy, or choose target=energy_forces"
    return did_you_mean(name, predicted)
