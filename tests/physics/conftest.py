"""Models and structures on which physics is checked."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from molnet.models import Model

ENERGIES = {"H": -13.6, "C": -1029.5, "N": -1485.3, "O": -2042.0}
STATISTICS = {
    "mean_neighbours": 6.0,
    "targets": {
        "energy": {"references": ENERGIES},
        "u0": {"references": ENERGIES},
        "homo": {"mean": -6.5, "scale": 0.6},
    },
}


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """Makes small untrained models in float64."""

    def make(heads: dict | None = None, **network: object) -> Model:
        settings: dict = {"cutoff": 3.5, "channels": 6, "l_max": 2, "num_layers": 3}
        settings |= {"num_radial": 6, "radial_hidden": [16]} | network
        heads = heads or {"energy": {"kind": "extensive", "forces": True}}
        return Model(settings, heads, [1, 6, 7, 8], STATISTICS).double().eval()

    return make


@pytest.fixture(params=[False, True], ids=["one-parity", "both-parities"])
def model(request: pytest.FixtureRequest, make_model: Callable[..., Model]) -> Model:
    """A model of energy and forces."""
    return make_model(parity=request.param)


@pytest.fixture
def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def crystal() -> Atoms:
    """A skewed periodic structure whose cell is smaller than the cutoff."""
    atoms = bulk("C", "diamond", a=3.6)
    atoms.numbers = [6, 7]
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * np.arange(9).reshape(3, 3) / 8), True)
    atoms.rattle(0.05, seed=2)
    return atoms
