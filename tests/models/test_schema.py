"""Saved models that were damaged, edited or written by somebody hostile are refused in one line."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from molnet.models import Model, ModelFormatError, load_model, save_model
from molnet.models.heads import HEADS
from molnet.models.settings import check_heads, check_network, fewest_weights
from molnet.stored import sealed

NETWORK = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}


def make(**network: Any) -> Model:
    return Model(
        NETWORK | network,
        {
            "energy": {"kind": "extensive", "forces": True},
            "dipole": {"kind": "dipole"},
        },
        [8, 1],
        {
            "mean_neighbours": 2.0,
            "targets": {"energy": {"references": {"H": -13.6, "O": -2041.8}, "scale": 0.7}},
        },
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(make(), tmp_path / "model")


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(ModelFormatError) as raised:
        load_model(folder, device="cpu")
    text = str(raised.value)
    assert reason in text
    assert "\n" not in text
    assert len(text) < 600


# Damage and edits, which break a hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"cutoff": 4.0', '"cutoff": 4.5'),
        ('"targets"', '"target"'),
        ('"scale": 0.7', '"scale": 0.71'),
        ('"dtype": "float32"', '"dtype": "float64"'),
        ('"O": -2041.8', '"O": -2041.9'),
    ],
)
def test_an_edited_configuration_is_refused(folder: Path, old: str, new: str) -> None:
    path = folder / "config.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    refused(folder, "config.json has changed since it was written")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "{}", '{"a": 1}'])
def test_what_is_no_configuration_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refused(folder, "config.json")


def test_cut_and_changed_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for changed in (data[:-100], data[: len(data) // 2], b"", data + b"\0", data[:-1] + b"\x01"):
        path.write_bytes(changed)
        refused(folder, "model.safetensors is damaged, or was edited: its SHA-256")


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    other = save_model(make(), tmp_path / "other")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    refused(folder, "its SHA-256 is not the one in config.json")


# Files that carry the right hashes


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(sealed(config)))


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return change


def drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config[key]
        del config[keys[-1]]

    return change


HOSTILE = [
    (put("network", "num_layers", value=10_000), "num_layers: expected a whole number from 1"),
    (put("network", "num_layers", value=True), "num_layers: expected"),
    (put("network", "num_layers", value=60), "network of more than"),
    (put("network", "channels", value=10**9), "channels: expected"),
    (put("network", "channels", value=4000), "network of more than"),
    (put("network", "channels", value=4.0), "channels: expected"),
    (put("network", "channels", value=5), "belongs to another model"),
    (
        put("network", "cutoff", value=math.nan),
        "cutoff: expected a number from 0.1 to 100, got nan",
    ),
    (put("network", "cutoff", value=math.inf), "cutoff: expected"),
    (put("network", "cutoff", value=-5.0), "cutoff: expected"),
    (put("network", "cutoff", value="5"), "cutoff: expected"),
    (put("network", "l_max", value=50), "l_max: expected"),
    (put("network", "l_max", value=0), "l_max"),
    (put("network", "num_radial", value=10**7), "num_radial: expected"),
    (put("properties", "energy", "per", value="atom"), "what its head predicts"),
    (put("properties", "forces", "per", value="structure"), "what its head predicts"),
    (put("properties", "energy", "shape", value=[3]), "what its head predicts"),
    (put("network", "num_knots", value=10**7), "num_knots: expected"),
    (put("network", "num_knots", value=1), "num_knots: expected"),
    (put("network", "radial_hidden", value=[10**6]), "radial_hidden: expected"),
    (put("network", "radial_hidden", value=[4096] * 8), "network of more than"),
    (put("network", "radial_hidden", value=[8] * 1000), "radial_hidden: expected"),
    (put("network", "radial_hidden", value=None), "radial_hidden: expected"),
    (put("network", "parity", value=1), "parity: expected true or false"),
    (put("network", "envelope_power", value=-1), "envelope_power: expected"),
    (put("network", "colour", value=1), "unknown colour"),
    (put("network", value=None), "expected names and values, got None"),
    (drop("network", "cutoff"), "cutoff is missing"),
    (drop("network"), "network is missing"),
    (drop("statistics"), "statistics is missing"),
    (put("stray", value=1), "unknown stray"),
    (put("dtype", value="complex64"), "dtype: expected"),
    (put("dtype", value=["float32"]), "dtype: expected"),
    (put("dtype", value="float64"), "belongs to another model"),
    (put("heads", value={}), "at least one head"),
    (put("heads", value=[]), "at least one head"),
    (put("heads", "energy", value=None), "energy: expected a kind and its options"),
    (put("heads", "energy", "kind", value="extnsive"), "did you mean 'extensive'?"),
    (put("heads", "energy", "kind", value=["extensive"]), "unknown kind"),
    (put("heads", "energy", "forces", value="yes"), "energy.forces: expected true or false"),
    (put("heads", "energy", "magnitude", value=True), "unknown energy.magnitude"),
    (put("heads", "dipole", "magnitude", value=7), "dipole.magnitude: expected"),
    (put("heads", "dipole", "forces", value=True), "expected one head with forces"),
    (put("heads", "dipole", value={"kind": "tensor", "irreps": "10000000x1o"}), "irreps"),
    (put("heads", "dipole", value={"kind": "tensor", "irreps": "1o+"}), "irreps"),
    (put("heads", "dipole", value={"kind": "tensor", "irreps": "1x100000e"}), "irreps"),
    (put("heads", "dipole", value={"kind": "tensor", "irreps": 1}), "irreps"),
    (put("heads", "dipole", value={"kind": "charges", "total_charge": 1}), "unknown dipole.total"),
    (put("statistics", "total_charges", value=[0.5]), "total_charges: expected"),
    (put("statistics", "total_charges", value=0), "total_charges: expected"),
    (put("species", value=[]), "species: expected"),
    (put("species", value=["H", "H"]), "species: expected"),
    (put("species", value=["H", "Qq"]), "species: expected"),
    (put("species", value=["X"]), "species: expected"),
    (put("species", value=[1, 8]), "species: expected"),
    (put("species", value=["H"] * 10**5), "species: expected"),
    (put("species", value=["H", "O", "C"]), "references.C is missing"),
    (put("species", value=["H"]), "belongs to another model"),
    (drop("statistics", "targets"), "statistics.targets is missing"),
    (drop("statistics", "targets", "energy", "references", "H"), "references.H is missing"),
    (put("statistics", "mean_neighbours", value=0), "mean_neighbours: expected a positive"),
    (put("statistics", "mean_neighbours", value=math.nan), "mean_neighbours: expected"),
    (put("statistics", "target", value={}), "unknown statistics.target: did you mean 'targets'?"),
    (put("statistics", "targets", "energi", value={}), "did you mean 'energy'?"),
    (put("statistics", "targets", "energy", "scale", value=math.nan), "energy.scale: expected"),
    (put("statistics", "targets", "energy", "scale", value=0), "energy.scale: expected"),
    (put("statistics", "targets", "energy", "scale", value=10**400), "energy.scale: expected"),
    (put("statistics", "targets", "energy", "sclae", value=1.0), "did you mean 'scale'?"),
    (put("statistics", "targets", "energy", "references", "H", value=math.inf), "references.H"),
    (put("statistics", "targets", "energy", "references", "Qq", value=0.0), "references.Qq"),
    (put("statistics", "targets", "energy", "references", value=[]), "references: expected"),
    (put("properties", "energy", "unit", value="furlong"), "furlong"),
    (put("properties", "energy", "unit", value="Å"), "properties.energy"),
    (put("properties", "energy", "per", value="galaxy"), "energy.per: expected"),
    (put("properties", "energy", "shape", value=[10**9]), "energy.shape: expected"),
    (put("properties", "energy", "shape", value=[64] * 4), "energy.shape: expected"),
    (put("properties", "energy", "name", value="forces"), "energy.name: expected"),
    (put("properties", "energy", "extensive", value=None), "energy.extensive: expected"),
    (drop("properties", "forces"), "properties.forces is missing"),
    (put("properties", value=None), "properties: expected"),
    (put("provenance", value=[]), "provenance: expected"),
    (put("format_version", value=99), "install a newer molnet"),
    (put("format_version", value="3"), "install a newer molnet"),
    (put("format_version", value=None), "install a newer molnet"),
    (put("weights_sha256", value=None), "its SHA-256 is not the one"),
]


@pytest.mark.parametrize(("change", "reason"), HOSTILE)
def test_a_hostile_configuration_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    rewrite(folder, change)
    refused(folder, reason)


def replace_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    data = save(weights)
    (folder / "model.safetensors").write_bytes(data)
    rewrite(folder, put("weights_sha256", value=hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    name = "network.embedding.weight"
    replace_weights(folder, lambda weights: weights[name].view(-1)[-1:].fill_(value))
    refused(folder, f"{name} holds weights that are not finite numbers")


def test_weights_of_other_names_and_shapes_are_refused(folder: Path) -> None:
    name = "network.embedding.weight"
    replace_weights(folder, lambda weights: weights.update({"stray": torch.zeros(1)}))
    refused(folder, "belongs to another model: it holds stray")
    replace_weights(folder, lambda weights: [weights.pop("stray"), weights.pop(name)])
    refused(folder, f"belongs to another model: it holds no {name}")
    replace_weights(folder, lambda weights: weights.update({name: torch.zeros(2, 5)}))
    refused(folder, f"expected {name} to be [2, 4] of torch.float32, got [2, 5]")
    replace_weights(folder, lambda weights: weights.update({name: torch.zeros(2, 4).double()}))
    refused(folder, f"expected {name} to be [2, 4] of torch.float32, got [2, 4] of torch.float64")


def test_weights_that_are_no_safetensors_are_refused(folder: Path) -> None:
    for data in (b"", b"\xff" * 100, (10**15).to_bytes(8, "little") + b"{}"):
        (folder / "model.safetensors").write_bytes(data)
        rewrite(folder, put("weights_sha256", value=hashlib.sha256(data).hexdigest()))
        refused(folder, "model.safetensors is damaged")


# The checks themselves


@pytest.mark.parametrize(
    "network",
    [{}, {"l_max": 0}, {"channels": 1}, {"radial_hidden": []}, {"num_layers": 1, "channels": 7}],
)
def test_a_network_has_more_weights_than_the_fewest(network: dict[str, Any]) -> None:
    model = Model(
        NETWORK | network, {"energy": {"kind": "extensive"}}, [1, 6], {"mean_neighbours": 1}
    )
    check_network(model.config["network"])
    assert (
        0
        < fewest_weights(model.config["network"], 2)
        < sum(weight.numel() for weight in model.parameters())
    )


def test_every_kind_of_head_may_be_saved(tmp_path: Path) -> None:
    names = dict(
        zip(
            HEADS,
            ("energy", "homo", "charges", "dipole", "polarizability", "r2", "mu"),
            strict=True,
        )
    )
    heads = {name: {"kind": kind} for kind, name in names.items()}
    check_heads(heads)
    model = Model(NETWORK | {"l_max": 2}, heads, [1], {"mean_neighbours": 1.0})
    assert load_model(save_model(model, tmp_path / "m"), device="cpu").config == model.config
