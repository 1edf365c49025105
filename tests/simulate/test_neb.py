"""Minimum-energy paths: the barrier of ammonia, and what a path must satisfy everywhere."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms

import molnet
from molnet.models import FrozenModel, Model
from molnet.simulate.band import Band
from molnet.simulate.neb import MinimumEnergyPath, interpolated, minimum_energy_path
from molnet.simulate.relaxation import relax
from molnet.simulate.vibrations import vibrations

pytestmark = pytest.mark.filterwarnings("ignore::molnet.models.OutsideDomainWarning")


@pytest.fixture(scope="module")
def organic() -> Model:
    return molnet.load("organic", dtype="float64")


@pytest.fixture(scope="module")
def ammonia(organic: Model) -> tuple[Atoms, Atoms]:
    """Relaxed, and its mirror image."""
    first = next(relax(organic, [molecule("NH3")], fmax=1e-3)).atoms
    last = first.copy()
    last.positions[:, 2] *= -1
    return first, last


@pytest.fixture(scope="module")
def inversion(organic: Model, ammonia: tuple[Atoms, Atoms]) -> MinimumEnergyPath:
    return minimum_energy_path(organic, interpolated(*ammonia, 9), fmax=0.01)


def test_all_images_are_evaluated_at_once(organic: Model) -> None:
    water = molecule("H2O")
    images = [water.copy() for _ in range(3)]
    images[1].rattle(0.05, seed=1)
    band = Band(FrozenModel(organic), images)
    forces = [image.get_forces() for image in images]
    energies = [image.get_potential_energy() for image in images]
    assert band.evaluations == 1
    for image, energy, force in zip(images, energies, forces, strict=True):
        predicted = organic.predict(image)
        assert energy == pytest.approx(float(predicted["energy"]), abs=1e-6)
        np.testing.assert_allclose(force, predicted["forces"], atol=1e-6)
    images[2].positions[0, 0] += 0.05
    assert images[2].get_potential_energy() > energies[2]
    assert images[0].get_potential_energy() == energies[0]
    assert band.evaluations == 2


def test_ammonia_inverts_through_a_planar_saddle_point(
    organic: Model, inversion: MinimumEnergyPath
) -> None:
    assert inversion.converged
    assert inversion.force < 0.01
    assert inversion.highest == 4
    assert inversion.barrier == pytest.approx(inversion.barrier_back, abs=1e-3)
    assert inversion.reaction_energy == pytest.approx(0.0, abs=1e-5)
    assert 0.15 < inversion.barrier < 0.35  # measured: 0.25 eV
    saddle = inversion.images[4]
    assert np.linalg.norm(organic.predict(saddle)["forces"], axis=1).max() < 0.01
    off_plane = np.linalg.svd(saddle.positions - saddle.positions.mean(axis=0))[1][2]
    assert off_plane < 0.01
    assert vibrations(organic, saddle).imaginary == 1
    energies = inversion.energies
    np.testing.assert_allclose(energies, energies[::-1], atol=1e-3)
    assert (np.diff(energies[:5]) > 0).all()


def test_images_are_evenly_spaced_and_have_no_force_across(
    organic: Model, inversion: MinimumEnergyPath
) -> None:
    lengths = np.diff(inversion.lengths)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.05)
    images, energies = inversion.images, inversion.energies
    for place in (1, 2, 3, 5, 6, 7):
        # The improved tangent is that to the higher neighbour.
        higher = place + 1 if energies[place + 1] > energies[place - 1] else place - 1
        tangent = images[higher].positions - images[place].positions
        tangent /= np.linalg.norm(tangent)
        forces = organic.predict(images[place])["forces"]
        across = forces - tangent * (tangent * forces).sum()
        # Less than fmax on each atom together with the springs, which are at most 2 fmax.
        assert np.linalg.norm(across, axis=1).max() < 0.03
        assert np.linalg.norm(forces, axis=1).max() > 0.1


def test_the_curve_goes_through_the_images(inversion: MinimumEnergyPath) -> None:
    along, energies = inversion.curve()
    found = np.interp(inversion.lengths, along, energies)
    np.testing.assert_allclose(found, inversion.energies, atol=2e-3)
    assert along[-1] == pytest.approx(inversion.lengths[-1])


def test_ends_and_given_images_stay(organic: Model, ammonia: tuple[Atoms, Atoms]) -> None:
    images = interpolated(*ammonia, 5)
    before = [image.positions.copy() for image in images]
    path = minimum_energy_path(organic, images, steps=3, fmax=1e-6)
    assert not path.converged
    assert path.steps == 3
    for image, positions in zip(images, before, strict=True):
        np.testing.assert_array_equal(image.positions, positions)
    for end, given in ((0, ammonia[0]), (-1, ammonia[1])):
        np.testing.assert_allclose(
            path.images[end].get_all_distances(), given.get_all_distances(), atol=1e-9
        )


def test_fixed_atoms_stay(organic: Model, ammonia: tuple[Atoms, Atoms]) -> None:
    first, last = (atoms.copy() for atoms in ammonia)
    last.positions += first.positions[1] - last.positions[1]
    first.set_constraint(FixAtoms([1]))
    path = minimum_energy_path(organic, interpolated(first, last, 5), steps=5, fmax=1e-6)
    for image in path.images:
        np.testing.assert_allclose(image.positions[1], first.positions[1], atol=1e-12)


@pytest.mark.parametrize("settings", [{"fmax": 0.0}, {"steps": -1}])
def test_impossible_settings_are_refused(
    organic: Model, ammonia: tuple[Atoms, Atoms], settings: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match="expected 3 images or more, fmax > 0"):
        minimum_energy_path(organic, list(ammonia) * 2, **settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="received 2 images"):
        minimum_energy_path(organic, list(ammonia))
    with pytest.raises(ValueError, match="images >= 3"):
        interpolated(*ammonia, 2)
