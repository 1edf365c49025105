"""A prediction that is no finite number is an error that names the structure."""

import math

import pytest
import torch
from ase.build import bulk, molecule

from molnet.graph import from_atoms
from molnet.models import Model, PredictionError, check_finite
from molnet.simulate import Calculator

NETWORK = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}


@pytest.fixture
def model() -> Model:
    """The energy of two hydrogen atoms is beyond float64."""
    return Model(
        NETWORK,
        {
            "energy": {"kind": "extensive", "forces": True, "stress": True},
            "charges": {"kind": "charges"},
        },
        [1, 8, 29],
        {"mean_neighbours": 2.0, "targets": {"energy": {"references": {"H": 1.7e308}}}},
    )


def test_the_structure_is_named(model: Model) -> None:
    sound, unsound = molecule("O2"), molecule("H2O")
    assert math.isfinite(model.predict([sound])[0]["energy"])
    for batch_size in (1, 2, 8):
        with pytest.raises(PredictionError, match="the model predicts energy = inf") as error:
            model.predict([sound, sound, sound, unsound, sound], batch_size)
        assert error.value.index == 3


def test_the_calculator_refuses_it(model: Model) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(model)
    with pytest.raises(PredictionError, match="the model predicts"):
        atoms.get_potential_energy()


def test_stress_is_finite_where_there_is_a_volume(model: Model) -> None:
    copper, molecule_without_volume = bulk("Cu"), molecule("O2")
    results = model.predict([molecule_without_volume, copper])
    assert ["stress" in result for result in results] == [False, True]
    graph = from_atoms([molecule_without_volume, copper], 4.0)
    check_finite({"charges": torch.zeros(3)}, graph, model.properties)
    with pytest.raises(PredictionError, match="stress = nan") as error:
        check_finite({"stress": torch.full((2, 3, 3), torch.nan)}, graph, model.properties)
    assert error.value.index == 1
    with pytest.raises(PredictionError, match="charges = inf") as error:
        check_finite({"charges": torch.tensor([0.0, torch.inf, 0.0])}, graph, model.properties)
    assert error.value.index == 0
