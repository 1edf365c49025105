"""What the settings of a network and of heads may be, for training and for saved models alike."""

import copy
import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from molnet.models.head import Predicted
from molnet.models.heads import Extensive, Intensive
from molnet.models.kinds import NotImportedError, head_class
from molnet.models.network import AGGREGATIONS
from molnet.models.tensor_heads import OF_IRREPS, tensor_irreps
from molnet.nearest import nearest
from molnet.nn.radial import BASES, ENVELOPES
from molnet.o3.irrep import Irrep
from molnet.o3.irreps import Irreps
from molnet.properties import Property

OF_ENERGY = ("forces", "stress", "relative")
"""What is said of the head of an energy besides its options: whether forces and stress are its
derivatives, and whether it was trained on these alone, so that its zero is arbitrary."""

HIGHEST_RANK = 4
"""Rank up to which a head may predict a Cartesian tensor."""

LARGEST_IRREPS = 4096
"""Dimension up to which a head may predict irreps."""


@dataclass(frozen=True)
class Number:
    """Numbers that a setting may be.

    Args:
        low, high: the smallest and the largest.
        whole: whether it is an integer.
    """

    low: float
    high: float
    whole: bool = True

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"

    def holds(self, value: object) -> bool:
        """Whether ``value`` is one of them; NaN is none."""
        kinds = (int,) if self.whole else (int, float)
        return type(value) in kinds and self.low <= value <= self.high  # type: ignore[operator]


NETWORK: dict[str, Number] = {
    "cutoff": Number(0.1, 100.0, whole=False),
    "channels": Number(1, 4096),
    "l_max": Number(0, 8),
    "l_features": Number(0, 8),
    "num_layers": Number(1, 64),
    "num_radial": Number(1, 512),
    "envelope_power": Number(2, 100),
    "num_knots": Number(8, 1024),
    "correlation": Number(1, 3),
}
"""The numbers among the settings of :class:`molnet.models.network.Network`."""

MAY_BE_NULL = ("num_knots", "l_features")
LATER = {"l_features": None, "repulsion": False, "aggregation": "mean"}
"""Settings that models of earlier versions lack, and what these models are."""

FLAGS = ("parity", "trainable_basis", "repulsion")
CHOICES: dict[str, tuple[str, ...]] = {
    "radial_basis": tuple(BASES),
    "envelope": tuple(ENVELOPES),
    "aggregation": tuple(AGGREGATIONS),
}
"""The settings of a network that are yes or no, and those that are one of several words."""

HIDDEN = Number(1, 4096)
MOST_HIDDEN = 8
"""Widths of the radial networks' hidden layers, and how many there may be."""

MOST_LISTED = 20
"""How many known names a message lists."""

FINITE = Number(-1e300, 1e300, whole=False)
POSITIVE = Number(1e-300, 1e300, whole=False)


def check_network(settings: Mapping[str, Any]) -> None:
    """Check the settings of a network, each of which must be there but for :data:`LATER` ones.

    Raises:
        ValueError: ``KEY: expected ..., got ...``.
    """
    known = [*NETWORK, *FLAGS, *CHOICES, "radial_hidden"]
    check_keys("", settings, [key for key in known if key not in LATER], list(LATER))
    settings = {**LATER, **settings}
    for key, numbers in NETWORK.items():
        value = settings[key]
        if key in MAY_BE_NULL and value is None:
            continue
        expect(numbers.holds(value), key, str(numbers), value)
    for key in FLAGS:
        expect(type(settings[key]) is bool, key, "true or false", settings[key])
    for key, words in CHOICES.items():
        expect(settings[key] in words, key, " or ".join(words), settings[key])
    highest = settings["l_features"]
    expect(
        highest is None or highest <= settings["l_max"],
        "l_features",
        f"at most l_max={settings['l_max']}, the degree of the messages",
        highest,
    )
    hidden = settings["radial_hidden"]
    expect(
        isinstance(hidden, list) and len(hidden) <= MOST_HIDDEN and all(map(HIDDEN.holds, hidden)),
        "radial_hidden",
        f"a list of at most {MOST_HIDDEN} widths, each {HIDDEN}",
        hidden,
    )


def check_heads(heads: Mapping[str, Any]) -> None:
    """Check the kind and the options of every head against the head's own signature.

    Raises:
        ValueError: ``NAME.KEY: expected ..., got ...``.
    """
    for name, settings in heads.items():
        expect(isinstance(settings, Mapping), name, "a kind and its options", settings)
        try:
            parameters = inspect.signature(head_class(settings.get("kind", ""))).parameters
        except NotImportedError as error:
            raise NotImportedError(f"{name}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{name}.kind: {error}") from error
        options = {
            key: parameter
            for key, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        check_keys(name, settings, ["kind"], optional=[*OF_ENERGY, *options])
        for key in OF_ENERGY:
            value = settings.get(key, False)
            expect(type(value) is bool, f"{name}.{key}", "true or false", value)
        if settings.get("relative") and not (settings.get("forces") or settings.get("stress")):
            raise ValueError(f"{name}.relative: only an energy with forces or stress is relative")
        if settings.get("relative") and not name.startswith("relative_"):
            raise ValueError(f"{name}: expected the name relative_{name} of a relative energy")
        for key, parameter in options.items():
            _check_option(f"{name}.{key}", parameter.annotation, settings.get(key))
        try:
            predicted_by(settings)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def predicted_by(head: Mapping[str, Any]) -> Predicted:
    """What a head with these settings predicts."""
    return head_class(head["kind"]).predicts(**_options(head))


def _options(head: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in head.items() if key not in ("kind", *OF_ENERGY)}


def _check_option(where: str, kind: Any, value: Any) -> None:
    if value is None:
        return  # not given
    if kind is float:
        expect(FINITE.holds(value), where, "a finite number", value)
    elif kind in (bool, int, str):
        expect(type(value) is kind, where, f"a value of type {kind.__name__}", value)
    if where.endswith(".cartesian"):
        rank = len(value.split("=")[0].strip())
        expect(0 < rank <= HIGHEST_RANK, where, f"1 to {HIGHEST_RANK} indices, e.g. ij=ji", value)
    if where.endswith(".irreps"):
        try:
            dim = Irreps(value).dim
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        expect(0 < dim <= LARGEST_IRREPS, where, f"irreps of 1 to {LARGEST_IRREPS} numbers", value)


def check_shapes(heads: Mapping[str, Any], properties: Mapping[str, Property]) -> None:
    """Check that every property has the shape that its head predicts.

    Args:
        heads: as :func:`check_heads` has found them right.
        properties: by name.

    Raises:
        ValueError: ``target.properties.NAME.shape: expected ..., got ...``.
    """
    for name, head in heads.items():
        property, predicted = properties[name], predicted_by(head)
        settings = ", ".join(f"{key}: {value}" for key, value in head.items())
        for key, found, expected in (
            ("per", property.per, predicted.per),
            ("shape", list(property.shape), list(predicted.shape)),
        ):
            if found != expected:
                raise ValueError(
                    f"target.properties.{name}.{key}: expected {expected}, which the head "
                    f"target.heads.{name} ({settings}) predicts, got {found}. Change the one or "
                    "the other"
                )


def check_features(network: Mapping[str, Any], heads: Mapping[str, Any]) -> None:
    """Check that the network has the features that the heads read.

    Raises:
        ValueError: ``l_max``, ``parity`` or ``num_layers`` must be another one.
    """
    features = _features(network)
    for name, head in heads.items():
        degree = head_class(head["kind"]).l_required(**_options(head))
        if degree > network["l_max"]:
            raise ValueError(f"{name} needs features of degree {degree}: set model.l_max={degree}")
        if head["kind"] != "tensor":
            continue
        irreps = tensor_irreps(**{key: head[key] for key in OF_IRREPS if key in head})
        missing = [str(ir) for _, ir in irreps if ir not in features]
        if missing:
            if not network["parity"]:
                remedy = "set model.parity=true"
            elif _features({**network, "l_features": None}).issuperset(ir for _, ir in irreps):
                remedy = f"raise model.l_features={network['l_features']}"
            else:
                remedy = "raise model.num_layers"
            raise ValueError(f"{name} needs features {', '.join(missing)}: {remedy}")


def _features(network: Mapping[str, Any]) -> set[Irrep]:
    """Irreps of the last layer: each layer multiplies by harmonics."""
    harmonics = Irreps.spherical_harmonics(network["l_max"])
    highest = network["l_max"]
    between = network.get("l_features")
    between = highest if between is None else between
    features = {Irrep("0e")}
    for layer in range(1, network["num_layers"] + 1):
        products = {out for ir in features for _, harmonic in harmonics for out in ir * harmonic}
        last = layer == network["num_layers"]
        features = {
            out
            for out in features | products
            if out.l <= (highest if last else between)
            and (network["parity"] or out.p == (-1) ** out.l)
        }
    return features


def complete_statistics(
    statistics: Mapping[str, Any], heads: Mapping[str, Any], species: Iterable[str]
) -> dict[str, Any]:
    """Statistics of a training set in which nothing is left to be understood.

    Args:
        statistics: as :class:`~molnet.models.model.Model` takes them.
        heads: with the kind of each.
        species: symbols of the elements that the model knows.
    """
    complete = copy.deepcopy(dict(statistics))
    targets = complete.setdefault("targets", {})
    for name, head in heads.items():
        target = targets.setdefault(name, {})
        target.setdefault("scale", 1.0)
        if issubclass(head_class(head["kind"]), Extensive):
            references = target.setdefault("references", {})
            target["references"] = {**dict.fromkeys(species, 0.0), **references}
        if issubclass(head_class(head["kind"]), Intensive):
            target.setdefault("mean", 0.0)
    return complete


def fewest_weights(network: Mapping[str, Any], species: int) -> int:
    """A number that the weights of such a network exceed, found without making it."""
    channels = network["channels"]
    widths = [network["num_radial"], *network["radial_hidden"], channels]
    radial = sum(first * second for first, second in pairwise(widths))
    return int(network["num_layers"] * (species * channels**2 + radial))


def check_keys(
    where: str, settings: Any, required: Collection[str], optional: Collection[str] = ()
) -> None:
    """Raise ValueError unless ``settings`` has these keys and no others."""
    expect(isinstance(settings, Mapping), where or "settings", "names and values", settings)
    prefix = f"{where}." if where else ""
    for key in settings:
        if key not in required and key not in optional:
            raise ValueError(f"unknown {prefix}{key}: {_meant(key, [*required, *optional])}")
    for key in required:
        if key not in settings:
            raise ValueError(f"{prefix}{key} is missing")


def expect(sound: bool, where: str, what: str, value: object) -> None:
    """Raise ValueError unless ``sound``: what was expected where, and what was found."""
    if not sound:
        text = repr(value)
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        raise ValueError(f"{where}: expected {what}, got {shown}")


def _meant(name: str, known: Collection[str]) -> str:
    """Words that point to the known name nearest to ``name``."""
    found = nearest(name, known)
    if found is not None:
        return f"did you mean {found!r}?"
    return f"known are {', '.join(known)}" if len(known) <= MOST_LISTED else "there is none like it"
