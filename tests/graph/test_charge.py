"""Total charges and spins as structures state them."""

import io
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from molnet.graph import StructureError, from_atoms, stated_spin, total_charge
from molnet.graph.moving import MovingGraph


def ammonium(**info: Any) -> Atoms:
    atoms = molecule("CH4")
    atoms.numbers[0] = 7
    atoms.info.update(info)
    return atoms


def with_initial_charges(values: list[float], **info: Any) -> Atoms:
    atoms = ammonium(**info)
    atoms.set_initial_charges(values)
    return atoms


@pytest.mark.parametrize(
    ("atoms", "charge"),
    [
        (ammonium(), 0),
        (ammonium(charge=1), 1),
        (ammonium(total_charge=-2.0), -2),
        (ammonium(Charge=np.int64(1)), 1),
        (ammonium(charge=np.array([1.0])), 1),
        (ammonium(charge=0.9995), 1),
        (ammonium(charge=1, total_charge=1.0), 1),
        (ammonium(charge=None), 0),
        (with_initial_charges([1, 0, 0, 0, 0]), 1),
        (with_initial_charges([-0.8, 0.45, 0.45, 0.45, 0.45]), 1),  # partial charges
        (with_initial_charges([-0.8001, 0.45, 0.45, 0.4503, 0.45]), 1),  # rounded ones
        (with_initial_charges([-0.8, 0.4, 0.4, 0.4, 0.4], charge=1), 1),  # 0.8 rounds to 1
        (with_initial_charges([0, 0, 0, 0, 0], charge=1), 1),  # all zero says nothing
        (with_initial_charges([0.4, -0.1, -0.1, -0.1, -0.1]), 0),
    ],
)
def test_total_charges(atoms: Atoms, charge: float) -> None:
    assert total_charge(atoms) == charge
    assert from_atoms([molecule("H2O"), atoms], 3.0).charge.tolist() == [0, charge]


def test_initial_charges_of_no_whole_sum_say_nothing() -> None:
    assert np.isnan(total_charge(with_initial_charges([0.3, 0, 0, 0, 0])))


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (ammonium(charge=1, total_charge=0), r"differently: 1 \(info\['charge'\]\), 0 \(info"),
        (with_initial_charges([1, -1, 0, 0, 0], charge=1), "0 .the sum 0 of the initial charges"),
        (with_initial_charges([1, 0, 0, 0, 0], charge=0), "more than once, and differently"),
        (with_initial_charges([np.inf, 0, 0, 0, 0]), "initial charges are not finite"),
        (ammonium(charge=0.37), r"info\['charge'\]: expected .* whole number, got 0.37"),
        (ammonium(charge="+1"), "expected a number, got '\\+1'"),
        (ammonium(charge=True), "expected a number, got True"),
        (ammonium(charge=np.nan), "expected a number, got nan"),
        (ammonium(total_charge=[0, 1]), "expected a number"),
        (ammonium(charge=12), "more than all 11 electrons"),
    ],
)
def test_charges_that_are_none_or_contradict_each_other(atoms: Atoms, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        total_charge(atoms)
    with pytest.raises(StructureError, match=message) as caught:
        from_atoms([molecule("H2O"), atoms], 3.0)
    assert caught.value.index == 1


def test_charges_of_extended_xyz() -> None:
    text = "1\ncharge=1 spin=2\nNa 0 0 0\n"
    assert total_charge(ase.io.read(io.StringIO(text), format="extxyz")) == 1


def test_a_moving_graph_carries_the_charge() -> None:
    graph, atoms = MovingGraph(3.0), ammonium()
    charges = [graph(atoms.numbers, atoms.positions, charge=q).charge.tolist() for q in (1.0, -1.0)]
    assert charges == [[1.0], [-1.0]]
    assert graph(atoms.numbers, atoms.positions).charge.tolist() == [0.0]


@pytest.mark.parametrize(
    ("info", "spin"),
    [
        ({}, None),
        ({"multiplicity": 3}, "multiplicity 3"),
        ({"Spin_Multiplicity": 1.0}, "spin_multiplicity 1"),
        ({"spin": 0.5}, "spin 0.5"),
        ({"spin": "collinear"}, "spin collinear"),
    ],
)
def test_spins(info: dict[str, Any], spin: str | None) -> None:
    assert stated_spin(ammonium(**info)) == spin


@pytest.mark.parametrize("value", [0, 1.5, -3, "triplet"])
def test_multiplicities_that_do_not_exist_are_refused(value: Any) -> None:
    with pytest.raises(StructureError, match="multiplicity"):
        stated_spin(ammonium(multiplicity=value))
