"""Heads whose predictions can be computed another way."""

from typing import Any

import numpy as np
import torch
from ase.build import molecule

from molnet.graph import from_atoms
from molnet.models import Model

NETWORK: dict[str, Any] = {"channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}
HYDROGEN_RICH = molecule("CH3OH")


def model_of(name: str, head: dict[str, Any]) -> Model:
    statistics = {"mean_neighbours": 5.0, "targets": {name: {"mean": -6.0, "scale": 0.5}}}
    return Model(NETWORK, {name: head}, [1, 6, 8], statistics).double()


def test_the_extent_of_bare_nuclei_is_about_their_centre_of_charge() -> None:
    model = model_of("r2", {"kind": "spatial_extent"})
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.zero_()
    numbers, positions = HYDROGEN_RICH.numbers, HYDROGEN_RICH.positions

    def about(centre: np.ndarray) -> float:
        return float((numbers * np.square(positions - centre).sum(axis=1)).sum())

    expected = about(numbers @ positions / numbers.sum())
    np.testing.assert_allclose(model.predict(HYDROGEN_RICH)["r2"], expected, rtol=1e-12)
    assert about(HYDROGEN_RICH.get_center_of_mass()) > expected + 1e-3


def test_the_first_moments_of_electrons_count_twice() -> None:
    """As those of electrons that are displaced a little, all else being equal."""
    model = model_of("r2", {"kind": "spatial_extent"})
    graph = from_atoms([HYDROGEN_RICH], model.cutoff, dtype=torch.float64)
    features = model.features(graph)
    head: Any = model.heads["r2"]
    with torch.no_grad():
        head.charges.readout[2].weight.zero_()
        head.charges.readout[2].bias.zero_()
        moments = head.moment(features.tensors).numpy()
        with_moments = float(head(features, graph))
        head.moment.weight.zero_()
        without = float(head(features, graph))
    numbers, positions = HYDROGEN_RICH.numbers, HYDROGEN_RICH.positions
    from_centre = positions - numbers @ positions / numbers.sum()
    step = 1e-4
    moved = [from_centre + sign * step * moments / numbers[:, None] for sign in (1, -1)]
    plus, minus = (float((numbers * np.square(each).sum(axis=1)).sum()) for each in moved)
    np.testing.assert_allclose(with_moments - without, (plus - minus) / (2 * step), rtol=1e-8)


def test_an_orbital_energy_combines_means_over_atoms() -> None:
    model = model_of("homo", {"kind": "intensive"})
    graph = from_atoms([HYDROGEN_RICH, molecule("H2O")], model.cutoff, dtype=torch.float64)
    head: Any = model.heads["homo"]
    with torch.no_grad():
        read = head.of_atoms(model.features(graph).scalars).numpy()
        for structure, rows in enumerate((slice(0, 6), slice(6, 9))):
            values, logits = np.split(read[rows], 2, axis=1)
            weights = np.exp(logits) / np.exp(logits).sum(axis=0)
            pooled = torch.from_numpy((weights * values).sum(axis=0))
            expected = -6.0 + 0.5 * float(head.of_structure(pooled))
            found = float(model(graph)["homo"][structure])
            np.testing.assert_allclose(found, expected, rtol=1e-12)
