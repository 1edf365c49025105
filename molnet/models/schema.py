"""What ``config.json`` of a saved model must look like: every key, its type and its range.

A file can be hostile and carry the right hash, so nothing in it is trusted before it was looked at
here. Nothing is allocated on the way.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.models.head import Head, Predicted
from molnet.models.heads import Extensive, Intensive
from molnet.models.kinds import NotImportedError, head_class
from molnet.models.settings import (
    FINITE,
    POSITIVE,
    Number,
    check_heads,
    check_keys,
    check_network,
    expect,
    predicted_by,
)
from molnet.properties import Property
from molnet.stored import SEAL
from molnet.units import conversion_factor

KEYS = (
    "format_version",
    "saved",
    "versions",
    "dtype",
    "weights_sha256",
    "network",
    "heads",
    "species",
    "properties",
    "statistics",
    "provenance",
    SEAL,
)
OPTIONAL_KEYS = ("domain",)
CHARGE = Number(-1000, 1000)
DIMENSIONS, REFERENCES = Number(1, 4096), Number(0, 100_000)
DTYPES = ("float32", "float64", "bfloat16", "float16")


def check_config(config: Mapping[str, Any]) -> None:
    """Check the content of ``config.json``.

    Raises:
        ValueError: what is wrong, and where.
    """
    check_keys("", config, KEYS, OPTIONAL_KEYS)
    expect(config["dtype"] in DTYPES, "dtype", f"one of {', '.join(DTYPES)}", config["dtype"])
    try:
        check_network(config["network"])
    except ValueError as error:
        raise ValueError(f"network: {error}") from error
    _check_heads(config["heads"])
    _check_species(config["species"])
    _check_properties(config["properties"], config["heads"])
    _check_statistics(config)
    expect(isinstance(config["provenance"], dict), "provenance", "an object", config["provenance"])
    if "domain" in config:
        _check_domain(config["domain"], len(config["species"]))


def _check_domain(domain: Any, species: int) -> None:
    check_keys("domain", domain, ["dimensions", "references"])
    dimensions, references = domain["dimensions"], domain["references"]
    expect(DIMENSIONS.holds(dimensions), "domain.dimensions", str(DIMENSIONS), dimensions)
    counts = isinstance(references, list) and len(references) == species
    expect(
        counts and all(map(REFERENCES.holds, references)),
        "domain.references",
        f"for each of {species} elements {REFERENCES}",
        references,
    )


def _check_heads(heads: Any) -> None:
    expect(isinstance(heads, dict) and bool(heads), "heads", "at least one head by name", heads)
    try:
        check_heads(heads)
    except NotImportedError:
        raise
    except ValueError as error:
        raise ValueError(f"heads: {error}") from error


def _check_species(species: Any) -> None:
    known = isinstance(species, list) and all(
        isinstance(symbol, str) and ATOMIC_NUMBERS.get(symbol, 0) > 0 for symbol in species
    )
    expect(
        known and 0 < len(species) == len(set(species)),
        "species",
        "a list of different chemical symbols",
        species,
    )


def _check_properties(properties: Any, heads: Mapping[str, Any]) -> None:
    derives = any(head.get("forces") or head.get("stress") for head in heads.values())
    check_keys("properties", properties, [*heads, *(["forces", "stress"] if derives else [])])
    for name, entry in properties.items():
        where = f"properties.{name}"
        check_keys(where, entry, [field.name for field in fields(Property)])
        for key in ("name", "unit", "shown_in", "meaning"):
            expect(isinstance(entry[key], str), f"{where}.{key}", "a text", entry[key])
        expect(entry["name"] == name, f"{where}.name", repr(name), entry["name"])
        expect(
            entry["per"] in ("atom", "structure"), f"{where}.per", "atom or structure", entry["per"]
        )
        expect(
            type(entry["extensive"]) is bool,
            f"{where}.extensive",
            "true or false",
            entry["extensive"],
        )
        shape = entry["shape"]
        sizes = isinstance(shape, list) and all(
            type(size) is int and 0 < size <= 4096 for size in shape
        )
        expect(
            sizes and len(shape) <= 4 and math.prod(shape) <= 4096,
            f"{where}.shape",
            "a list of at most 4 sizes",
            shape,
        )
        wanted = _predicted(name, heads)
        found = Predicted(entry["per"], tuple(shape))
        expect(found == wanted, where, f"what its head predicts, {wanted}", found)
        try:
            conversion_factor(entry["unit"], entry["shown_in"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def _predicted(name: str, heads: Mapping[str, Any]) -> Predicted:
    if name in heads:
        return predicted_by(heads[name])
    return Predicted("atom", (3,)) if name == "forces" else Predicted("structure", (3, 3))


def _check_statistics(config: Mapping[str, Any]) -> None:
    statistics, heads = config["statistics"], config["heads"]
    check_keys("statistics", statistics, ["mean_neighbours", "targets"], ["total_charges"])
    neighbours = statistics["mean_neighbours"]
    where = "statistics.mean_neighbours"
    expect(POSITIVE.holds(neighbours), where, "a positive number", neighbours)
    charges = statistics.get("total_charges", [])
    expect(
        isinstance(charges, list) and all(map(CHARGE.holds, charges)),
        "statistics.total_charges",
        f"a list of charges, each {CHARGE}",
        charges,
    )
    targets = statistics["targets"]
    check_keys("statistics.targets", targets, [*heads], config["properties"])
    for name, target in targets.items():
        kind = head_class(heads[name]["kind"]) if name in heads else None
        _check_target(f"statistics.targets.{name}", target, kind, config["species"])


def _check_target(where: str, target: Any, kind: type[Head] | None, species: list[str]) -> None:
    """The statistics of one property, of which heads of some kinds need more than the scale."""
    adds_up, averages = (
        kind is not None and issubclass(kind, base) for base in (Extensive, Intensive)
    )
    needed = ["references"] if adds_up else ["mean"] if averages else []
    check_keys(
        where, target, ["scale", *needed], ["references", "residual_rmse", "mean", "undetermined"]
    )
    scale = target["scale"]
    expect(POSITIVE.holds(scale), f"{where}.scale", "a positive number", scale)
    references = target.get("references", {})
    needed = species if adds_up else []
    check_keys(f"{where}.references", references, needed, ATOMIC_NUMBERS)
    numbers = {key: target[key] for key in ("residual_rmse", "mean") if key in target}
    numbers |= {f"references.{symbol}": value for symbol, value in references.items()}
    undetermined = target.get("undetermined", [])
    expect(
        isinstance(undetermined, list) and len(undetermined) <= len(species),
        f"{where}.undetermined",
        "a list of at most one direction for each element",
        undetermined,
    )
    for place, direction in enumerate(undetermined):
        check_keys(f"{where}.undetermined.{place}", direction, [], ATOMIC_NUMBERS)
        numbers |= {f"undetermined.{place}.{symbol}": x for symbol, x in direction.items()}
    for key, value in numbers.items():
        expect(FINITE.holds(value), f"{where}.{key}", "a finite number", value)
