"""Compositions whose energy a training set of too few compositions leaves open."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from molnet.models.compositions import Compositions

WATER_ALONE = {"energy": {"undetermined": [{"H": 1 / 5**0.5, "O": -2 / 5**0.5}]}}
"""Directions orthogonal to H2O."""


def test_multiples_of_a_known_composition_are_determined() -> None:
    known = Compositions.of(WATER_ALONE, ["energy"])
    water = molecule("H2O")
    assert known.remark(water.numbers) is None
    assert known.remark(np.tile(water.numbers, 500)) is None
    for other in (molecule("H2"), molecule("H2O2"), water + molecule("OH"), Atoms("O")):
        assert "the energy of this composition is off" in str(known.remark(other.numbers))


@pytest.mark.parametrize("targets", [{}, {"energy": {"references": {"H": -13.6}}}])
def test_determined_references_leave_nothing_to_say(targets: dict) -> None:
    assert Compositions.of(targets, ["energy"]).remark(np.array([1, 1, 8])) is None
    assert Compositions.of(WATER_ALONE, ["relative_energy"]).remark(np.array([1])) is None
