"""A model knows what it was trained on: near that distances are below 1, far from it above."""

from collections.abc import Sequence
from pathlib import Path

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph import from_atoms
from molnet.models import (
    FrozenModel,
    Model,
    ModelFormatError,
    OutsideDomainWarning,
    load_model,
    save_model,
)
from molnet.models.domain import Domain, sampled

NAMES = ["CH4", "CH3OH", "C2H6", "H2O", "C2H4", "CH3CH2OH"]
FORCES = {"energy": {"kind": "extensive", "forces": True}}


def rattled(seed: int, count: int = 120) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    structures = []
    for index in range(count):
        atoms = molecule(NAMES[index % len(NAMES)])
        atoms.positions += rng.normal(scale=0.04, size=atoms.positions.shape)
        structures.append(atoms)
    return structures


def fitted(model: Model, known: Sequence[Atoms], left_out: Sequence[Atoms]) -> Domain:
    samples = (
        sampled(model, [from_atoms(list(part), model.cutoff, torch.float64)])
        for part in (known, left_out)
    )
    domain = Domain.fitted(*samples, species=len(model.species))
    return domain.to(device=model.device, dtype=model.dtype)


def make_model(heads: dict = FORCES, dtype: torch.dtype = torch.float32) -> Model:
    torch.manual_seed(0)
    network = {"cutoff": 4.0, "channels": 8, "l_max": 2, "num_layers": 2, "radial_hidden": [16]}
    model = Model(network, heads, [1, 6, 8], {"mean_neighbours": 6.0}).to(dtype).eval()
    model.domain = fitted(model, rattled(1), rattled(2))
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model()


def distances(model: Model, *structures: Atoms) -> np.ndarray:
    frozen = FrozenModel(model)
    found = frozen.distances(from_atoms(list(structures), model.cutoff, torch.float64))
    return found.numpy()


def of_each(model: Model, structures: Sequence[Atoms]) -> np.ndarray:
    return np.array([distances(model, atoms).max() for atoms in structures])


def fused() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.positions[4] = atoms.positions[0] + [0.3, 0, 0]
    return atoms


def five_coordinate() -> Atoms:
    around = [[1.1, 0, 0], [-0.55, 0.95, 0], [-0.55, -0.95, 0], [0, 0, 1.2], [0, 0, -1.2]]
    return Atoms("CH5", [[0, 0, 0], *around])


def scaled(factor: float) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.positions *= factor
    return atoms


def placeholder() -> Atoms:
    return Atoms(molecule("CH3OH"), cell=[1, 1, 1], pbc=True)


def close_dimer() -> Atoms:
    water = molecule("H2O")
    other = water.copy()
    other.positions += [1.5, 0, 0]
    return water + other


OUTSIDE = {
    "C60": lambda: molecule("C60"),
    "diamond": lambda: bulk("C", "diamond", 3.567, cubic=True),
    "fused atoms": fused,
    "five-coordinate carbon": five_coordinate,
    "compressed": lambda: scaled(0.8),
    "inflated": lambda: scaled(1.3),
    "placeholder cell": placeholder,
    "water dimer at 1.5 Å": close_dimer,
    "an isolated atom": lambda: Atoms("C"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_far_from_the_training_set_is_outside(model: Model, name: str) -> None:
    assert distances(model, OUTSIDE[name]()).max() > 1


def test_what_is_like_the_training_set_is_inside(model: Model) -> None:
    assert np.mean(of_each(model, rattled(1)) <= 1) > 0.98
    assert np.mean(of_each(model, rattled(3)) <= 1) > 0.9


def test_the_unit_is_what_99_of_100_left_out_structures_stay_below(model: Model) -> None:
    left_out = of_each(model, rattled(2))
    assert np.mean(left_out <= 1) == pytest.approx(0.99, abs=0.01)
    assert left_out.max() > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_invariance(dtype: torch.dtype) -> None:
    model = make_model(dtype=dtype)
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=3)
    expected = distances(model, atoms)
    order = np.random.default_rng(0).permutation(len(atoms))
    moved = atoms[order]
    moved.rotate(70, [1, 2, 3])
    moved.positions = -moved.positions + [3, -50, 7]
    tolerance = 1e-3 if dtype == torch.float32 else 1e-9
    np.testing.assert_allclose(distances(model, moved), expected[order], atol=tolerance)


def test_neighbours_in_a_batch_do_not_matter(model: Model) -> None:
    water, carbon = molecule("H2O"), bulk("C", "diamond", 3.567, cubic=True)
    together = distances(model, water, carbon)
    np.testing.assert_allclose(together[:3], distances(model, water), atol=1e-3)
    np.testing.assert_allclose(together[3:], distances(model, carbon), rtol=1e-3)


def test_twice_the_same_far_apart_is_as_far_as_once(model: Model) -> None:
    once = molecule("CH3CH2OH")
    once.rattle(0.06, seed=1)
    other = once.copy()
    other.positions += [50, 0, 0]
    expected = np.tile(distances(model, once), 2)
    np.testing.assert_allclose(distances(model, once + other), expected, rtol=1e-3)


def test_a_structure_as_a_whole_counts_where_all_its_atoms_are_a_little_strange(
    model: Model,
) -> None:
    strange, usual = scaled(1.04), molecule("CH3CH2OH")
    found = distances(model, strange)
    assert len(np.unique(found)) < len(found)  # the whole is farther than some of its atoms are
    usual.positions += [50, 0, 0]
    diluted = distances(model, strange + usual)[: len(strange)]
    assert (diluted <= found + 1e-6).all()
    assert diluted.min() < found.min()


def test_a_distance_grows_with_the_distortion(model: Model) -> None:
    found = of_each(model, [scaled(factor) for factor in (1.0, 1.1, 1.2, 1.3)])
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(
    "heads",
    [FORCES, {"homo": {"kind": "intensive"}}, {"dipole": {"kind": "dipole"}, **FORCES}],
    ids=["forces", "one scalar", "two targets"],
)
def test_predictions_carry_it(heads: dict) -> None:
    model = make_model(heads)
    with pytest.warns(OutsideDomainWarning, match=r"1 of 2 structures lie .* structure 1: "):
        inside, outside = model.predict([molecule("CH3OH"), molecule("C60")])
    assert inside["domain_distance"] < 1 < outside["domain_distance"]
    assert outside["domain_distances"].shape == (60,)
    assert outside["domain_distance"] == outside["domain_distances"].max()


def test_module_by_module_it_is_the_same(model: Model) -> None:
    structures = rattled(4, 6)
    expected = distances(model, *structures)
    layers = make_model()
    layers.network.interactions[0].linear_in.register_forward_hook(lambda *_: None)
    assert layers.network.why_not_compiled() is not None
    np.testing.assert_allclose(distances(layers, *structures), expected, atol=2e-3)


def test_saved_and_loaded_it_is_the_same(model: Model, tmp_path: Path) -> None:
    loaded = load_model(save_model(model, tmp_path / "model"), device="cpu")
    for name, tensor in model.domain.state_dict().items():
        assert torch.equal(loaded.domain.state_dict()[name], tensor), name
    structures = rattled(5, 6)
    assert np.array_equal(distances(loaded, *structures), distances(model, *structures))
    assert loaded.config == model.config
    in_float64 = load_model(tmp_path / "model", device="cpu", dtype="float64")
    np.testing.assert_allclose(
        distances(in_float64, *structures), distances(model, *structures), atol=2e-3
    )


def test_it_costs_little_disk(model: Model, tmp_path: Path) -> None:
    with_it = save_model(model, tmp_path / "with")
    model = make_model()
    model.domain = None
    without = save_model(model, tmp_path / "without")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (with_it, without)]
    assert sizes[0] - sizes[1] < 300_000


def test_a_model_without_one_says_nothing(recwarn: pytest.WarningsRecorder, tmp_path: Path) -> None:
    model = make_model()
    model.domain = None
    loaded = load_model(save_model(model, tmp_path / "model"), device="cpu")
    assert loaded.domain is None
    assert "domain_distance" not in loaded.predict(molecule("C60"))
    assert not [each for each in recwarn if each.category is OutsideDomainWarning]


def test_sizes_that_are_not_those_of_the_weights_are_refused(model: Model, tmp_path: Path) -> None:
    import json

    from molnet.stored import sealed

    folder = save_model(model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"references": [10_000, 10_000, 10_000]}, "more than"),
        ({"references": [1, 2]}, "for each of 3 elements"),
        ({"dimensions": 0}, "domain.dimensions: expected a whole number from 1"),
    ):
        broken = {**config, "domain": {**config["domain"], **change}}
        del broken["content_sha256"]
        (folder / "config.json").write_text(json.dumps(sealed(broken)))
        with pytest.raises(ModelFormatError, match=message):
            load_model(folder)


def test_copies_of_one_structure_are_a_domain() -> None:
    model = make_model()
    water = [molecule("H2O")] * 4
    model.domain = fitted(model, water, water)
    assert distances(model, molecule("H2O")).max() < 1
    assert distances(model, molecule("CH4")).max() > 1
    assert distances(model, ase.build.molecule("CH3OH")).max() > 1
