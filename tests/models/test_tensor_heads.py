"""Declared tensors: what they predict turns as tensors do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from molnet.models import Model
from molnet.models.settings import check_features, check_heads, check_shapes, predicted_by
from molnet.models.tensor_heads import symmetry_missed
from molnet.properties import Property, get_property

NETWORK = {"cutoff": 3.5, "channels": 6, "l_max": 3, "num_layers": 3, "parity": True}
NETWORK |= {"num_radial": 6, "radial_hidden": [16]}


def make_model(**head: Any) -> Model:
    predicted = predicted_by({"kind": "tensor", **head})
    properties = {"sigma": Property("sigma", "ppm", *predicted)}
    heads = {"sigma": {"kind": "tensor", **head}}
    return Model(NETWORK, heads, [1, 6, 8], {"mean_neighbours": 5.0}, properties).double().eval()


def turned(atoms: Atoms, R: NDArray[np.float64]) -> Atoms:
    atoms = atoms.copy()
    atoms.positions = atoms.positions @ R.T
    return atoms


def tensor_turned(values: NDArray[np.float64], R: NDArray[np.float64], rank: int) -> NDArray:
    """Every one of the last axes multiplied by R: R σ Rᵀ for a matrix."""
    for axis in range(values.ndim - rank, values.ndim):
        values = np.moveaxis(np.tensordot(R, values, axes=(1, axis)), 0, axis)
    return values


def rotated_pair(head: Mapping[str, Any], seed: int = 0) -> tuple[NDArray, NDArray, NDArray]:
    """Predictions for a molecule and for the same one turned (and inverted), and that matrix."""
    R = -Rotation.random(rng=seed).as_matrix()
    atoms = molecule("CH3CH2OH")
    first, second = make_model(**head).predict([atoms, turned(atoms, R)])
    return first["sigma"], second["sigma"], R


@pytest.mark.parametrize("per", ["structure", "atom"])
@pytest.mark.parametrize(
    ("formula", "rank"),
    [("i", 1), ("ij", 2), ("ij=ji", 2), ("ij=-ji", 2), ("ijk=jik", 3), ("ijk", 3)],
)
def test_cartesian_tensors_turn(formula: str, rank: int, per: str) -> None:
    before, after, R = rotated_pair({"cartesian": formula, "per": per})
    rows = (9,) if per == "atom" else ()
    assert before.shape == (*rows, *[3] * rank)
    assert np.abs(before).max() > 1e-3
    np.testing.assert_allclose(after, tensor_turned(before, R, rank), atol=1e-10)
    assert symmetry_missed(before.reshape(-1, *[3] * rank), formula) < 1e-10
    if formula == "ij":
        assert symmetry_missed(before.reshape(-1, 3, 3), "ij=ji") > 1e-3


def test_the_control_spherical_components_are_no_cartesian_ones() -> None:
    head = {"irreps": "0e + 1e + 2e", "spherical": True}
    before, after, R = rotated_pair(head)
    expected = tensor_turned(before.reshape(3, 3), R, 2)
    assert np.abs(after.reshape(3, 3) - expected).max() > 0.1 * np.abs(expected).max()


def test_several_vectors_stand_one_after_the_other() -> None:
    before, after, R = rotated_pair({"irreps": "2x1o", "spherical": True, "per": "atom"})
    np.testing.assert_allclose(
        after.reshape(9, 2, 3), tensor_turned(before.reshape(9, 2, 3), R, 1), atol=1e-10
    )


AS_MANY = "as many as a Cartesian tensor. If the labels are xx, xy, ..., write cartesian: ij"


@pytest.mark.parametrize("irreps", ["0e+1e+2e", "2e + 0e", "0e+2e", "2x1o", "3x1o", "1o+0e+2e",
                                    "1o+3o"])  # fmt: skip
def test_components_must_be_said_where_they_could_be_cartesian(irreps: str) -> None:
    with pytest.raises(ValueError, match=AS_MANY):
        check_heads({"sigma": {"kind": "tensor", "irreps": irreps}})
    with pytest.raises(ValueError, match=AS_MANY):
        Model(
            NETWORK, {"dipole": {"kind": "tensor", "irreps": irreps}}, [1], {"mean_neighbours": 1}
        )
    check_heads({"sigma": {"kind": "tensor", "irreps": irreps, "spherical": True}})


@pytest.mark.parametrize("irreps", ["0e", "1o", "1e", "2e", "9x0e", "0e+1o", "3o"])
def test_components_that_can_be_none_but_those_of_irreps(irreps: str) -> None:
    check_heads({"sigma": {"kind": "tensor", "irreps": irreps}})


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"cartesian": "ij", "irreps": "0e"}, "got both"),
        ({"cartesian": "ij", "spherical": True}, "got both"),
        ({"cartesian": "ij=kl"}, "no permutation"),
        ({"cartesian": "ii"}, "different letters"),
        ({"cartesian": "ijklm"}, "1 to 4 indices"),
        ({"cartesian": "ij=ij=-ij"}, "no tensor but zero"),
        ({"cartesian": 3}, "type str"),
        ({"per": "bond"}, "atom or structure"),
    ],
)
def test_options_that_make_no_tensor(head: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^sigma.*{message}"):
        check_heads({"sigma": {"kind": "tensor", **head}})


def sigma(shape: tuple[int, ...], per: Any = "structure") -> dict[str, Property]:
    return {"sigma": Property("sigma", "ppm", per, shape)}


@pytest.mark.parametrize(
    ("head", "property"),
    [
        ({"cartesian": "ij"}, sigma((3, 3))),
        ({"cartesian": "ij", "per": "atom"}, sigma((3, 3), "atom")),
        ({"irreps": "0e+1e+2e", "spherical": True}, sigma((9,))),
        ({}, sigma(())),
    ],
)
def test_shapes_that_fit(head: dict[str, Any], property: dict[str, Property]) -> None:
    check_shapes({"sigma": {"kind": "tensor", **head}}, property)


@pytest.mark.parametrize(
    ("head", "property", "message"),
    [
        ({"cartesian": "ij"}, sigma((9,)), r"shape: expected \[3, 3\], which .* got \[9\]"),
        ({"cartesian": "ijk"}, sigma((3, 3)), r"shape: expected \[3, 3, 3\]"),
        ({"irreps": "0e+1e+2e", "spherical": True}, sigma((3, 3)), r"shape: expected \[9\]"),
        ({"irreps": "1o"}, sigma(()), r"shape: expected \[3\], which .* got \[\]"),
        ({"irreps": "0e"}, sigma((1,)), r"shape: expected \[\], which .* got \[1\]"),
        ({"cartesian": "ij"}, sigma((3, 3), "atom"), "per: expected structure, .* got atom"),
    ],
)
def test_shapes_that_a_head_cannot_predict(
    head: dict[str, Any], property: dict[str, Property], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^target.properties.sigma.{message}"):
        check_shapes({"sigma": {"kind": "tensor", **head}}, property)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("dipole", {"kind": "extensive"}),
        ("mu", {"kind": "dipole"}),
        ("dipole", {"kind": "dipole", "magnitude": True}),
        ("charges", {"kind": "extensive"}),
        ("alpha", {"kind": "polarizability"}),
        ("gap", {"kind": "charges"}),
    ],
)
def test_built_in_properties_need_their_own_heads(name: str, head: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"target.heads.{name} \(kind: {head['kind']}"):
        check_shapes({name: head}, {name: get_property(name)})


def test_features_that_a_network_lacks() -> None:
    heads = {"sigma": {"kind": "tensor", "cartesian": "ij"}}
    check_features(NETWORK, heads)
    with pytest.raises(ValueError, match=r"sigma needs features 1e: set model.parity=true"):
        check_features(NETWORK | {"parity": False}, heads)
    with pytest.raises(ValueError, match=r"sigma needs features of degree 2: set model.l_max=2"):
        check_features(NETWORK | {"l_max": 1}, heads)
    check_features(NETWORK | {"parity": False}, {"sigma": {"kind": "tensor", "cartesian": "ij=ji"}})
    with pytest.raises(ValueError, match=r"sigma needs features 1e: raise model.l_features=0"):
        check_features(NETWORK | {"l_features": 0}, heads)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("l_features", [None, 0, 1])
@pytest.mark.parametrize("irreps", ["0e", "0o", "1o", "1e", "2o", "2e", "3e"])
def test_features_are_those_of_the_network(
    num_layers: int, parity: bool, l_features: int | None, irreps: str
) -> None:
    network = NETWORK | {"num_layers": num_layers, "parity": parity, "l_features": l_features}
    head = {"kind": "tensor", "irreps": irreps}
    predicted = sigma(predicted_by(head).shape)
    outcomes = []
    for attempt in (
        lambda: check_features(network, {"sigma": head}),
        lambda: Model(network, {"sigma": head}, [1], {"mean_neighbours": 1.0}, predicted),
    ):
        try:
            attempt()
            outcomes.append(True)
        except ValueError:
            outcomes.append(False)
    assert outcomes in ([True, True], [False, False])
