"""What the settings of the heads say: classes, options, properties, and which is the energy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from molnet.models.head import Head
from molnet.models.heads import Extensive
from molnet.models.kinds import head_class
from molnet.models.settings import OF_ENERGY
from molnet.o3.irreps import Irreps
from molnet.properties import PROPERTIES, Property, get_property


@dataclass(frozen=True)
class HeadSettings:
    """The settings of all heads, understood.

    Attributes:
        classes: of the heads, by name.
        options: of each class.
        properties: that are predicted, by heads or as derivatives.
        energy: name of the head whose gradients are the forces; None where none are predicted.
        potential_energies: names of the heads of energies that nuclei feel, and so the repulsion:
            ``energy``, and those that the built-in table has; or else the only total energy that it
            does not have.
        stress: whether stress is a target, too.
        relative: whether derivatives alone are trained, so that the zero of the energy is open.
    """

    classes: Mapping[str, type[Head]]
    options: Mapping[str, Mapping[str, Any]]
    properties: Mapping[str, Property]
    energy: str | None
    potential_energies: tuple[str, ...]
    stress: bool
    relative: bool

    @staticmethod
    def of(
        heads: Mapping[str, Mapping[str, Any]], declared: Mapping[str, Property] | None = None
    ) -> "HeadSettings":
        """Understand the settings.

        Args:
            heads: settings by name.
            declared: properties that the built-in table lacks.

        Raises:
            ValueError: there is no head, or one of an unknown kind; or forces are asked of several,
                or of another kind than an energy.
        """
        energy, stress = _energy_to_differentiate(heads)
        derived = ["forces", "stress"] if energy else []
        properties = {name: get_property(name, declared) for name in [*heads, *derived]}
        classes = {name: _class(name, settings) for name, settings in heads.items()}
        totals = [
            name
            for name, kind in classes.items()
            if issubclass(kind, Extensive) and properties[name].is_total_energy
        ]
        felt = [n for n in totals if n == energy or properties[n].is_potential_energy]
        own = [name for name in totals if name not in PROPERTIES]
        return HeadSettings(
            classes,
            {
                name: {k: v for k, v in settings.items() if k not in ("kind", *OF_ENERGY)}
                for name, settings in heads.items()
            },
            properties,
            energy,
            tuple(felt or (own if len(own) == 1 else [])),
            stress,
            any(settings.get("relative") for settings in heads.values()),
        )

    @property
    def l_required(self) -> int:
        """The highest degree of features that a head reads."""
        return max(kind.l_required(**self.options[name]) for name, kind in self.classes.items())

    def build(
        self, num_scalars: int, irreps_in: Irreps, statistics: Mapping[str, Any]
    ) -> nn.ModuleDict:
        """The heads with random weights.

        Args:
            num_scalars, irreps_in: what they read.
            statistics: of the training set, by name.
        """
        return nn.ModuleDict(
            {
                name: kind(num_scalars, irreps_in, statistics.get(name, {}), **self.options[name])
                for name, kind in self.classes.items()
            }
        )


def _energy_to_differentiate(heads: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, bool]:
    """Name of the head whose gradients are the forces, and whether stress is a target too."""
    names = [name for name, head in heads.items() if head.get("forces") or head.get("stress")]
    if not heads:
        raise ValueError("expected at least one head, got none: choose a target")
    if len(names) > 1:
        raise ValueError(f"expected one head with forces, got {', '.join(names)}")
    if not names:
        return None, False
    kind = heads[names[0]].get("kind")
    if not issubclass(head_class(kind), Extensive):
        raise ValueError(
            f"forces are derivatives of an energy of kind 'extensive', but the head "
            f"{names[0]!r} is of kind {kind!r}"
        )
    return names[0], bool(heads[names[0]].get("stress"))


def _class(name: str, settings: Mapping[str, Any]) -> type[Head]:
    try:
        return head_class(settings.get("kind", ""))
    except ValueError as error:
        raise type(error)(f"head {name!r}: {error}") from error
