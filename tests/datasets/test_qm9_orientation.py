"""The turned tensors obey the symmetry of their molecules, whatever frame those are given in."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from molnet.datasets import qm9
from molnet.datasets.qm9_orientation import (
    PAIR_ANISOTROPY,
    additive_anisotropy,
    principal_axes,
    turn_into_frame_of_geometry,
)


@pytest.fixture(scope="module")
def molecules() -> list[qm9.Molecule]:
    """The first 1,200 molecules of the installed package, tensors as they are published."""
    package = qm9._package_folder()
    if package is None:
        pytest.skip('needs qm9pack: pip install -e ".[qm9]"')
    parts = [Path(package) / "qm9_part1.csv"]
    reader = qm9._read_csv(parts, package / "qm9_polarizability.csv")
    return [molecule for molecule, _ in zip(reader, range(1200))]  # noqa: B905


@pytest.fixture(scope="module")
def batch(molecules: list[qm9.Molecule]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = max(len(molecule.species) for molecule in molecules)
    species = np.zeros((len(molecules), size), dtype=np.int64)
    positions = np.zeros((len(molecules), size, 3))
    for row, molecule in enumerate(molecules):
        species[row, : len(molecule.species)] = molecule.species
        positions[row, : len(molecule.species)] = molecule.positions
    tensors = np.array([molecule.labels["polarizability"] for molecule in molecules])
    return species, positions, tensors


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def test_trace_and_eigenvalues_stay(batch: Batch) -> None:
    turned = turn_into_frame_of_geometry(*batch)
    np.testing.assert_allclose(np.linalg.eigvalsh(turned), np.linalg.eigvalsh(batch[2]), atol=1e-9)


def test_the_tensor_turns_with_the_geometry(batch: Batch) -> None:
    species, positions, tensors = batch
    rotation = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    expected = rotation @ turn_into_frame_of_geometry(*batch) @ rotation.T
    moved = positions @ rotation.T + np.array([1.0, -2.0, 3.0])
    difference = np.abs(turn_into_frame_of_geometry(species, moved, tensors) - expected)
    # almost symmetric molecules have no unique axes: there a tie may be decided otherwise
    assert np.mean(difference.max(axis=(1, 2)) < 1e-3) > 0.98


def alignment(molecules: list[qm9.Molecule], tensors: np.ndarray) -> list[float]:
    """|cos| between the axis of a linear molecule and that of its largest polarizability, and
    between the normal of a planar molecule and the axis of the smallest."""
    cosines = []
    for molecule, tensor in zip(molecules, tensors, strict=True):
        centred = molecule.positions - molecule.positions.mean(axis=0)
        extents, axes = np.linalg.svd(centred, full_matrices=False)[1:]
        vectors = np.linalg.eigh(tensor).eigenvectors
        if extents[1] < 0.02:
            cosines.append(abs(axes[0] @ vectors[:, 2]))
        elif len(centred) > 3 and extents[2] < 0.02:
            cosines.append(abs(axes[2] @ vectors[:, 0]))
    return cosines


def test_linear_and_planar_molecules_have_the_tensors_of_their_shape(
    molecules: list[qm9.Molecule], batch: Batch
) -> None:
    turned = alignment(molecules, turn_into_frame_of_geometry(*batch))
    assert len(turned) > 100
    assert min(turned) > 0.999
    # the published axes fail the same test wherever the geometry is not in the xy plane anyway
    assert np.mean(np.array(alignment(molecules, batch[2])) < 0.9) > 0.1


def test_water(molecules: list[qm9.Molecule], batch: Batch) -> None:
    water = turn_into_frame_of_geometry(*batch)[2]
    oxygen, one, two = molecules[2].positions
    across = (two - one) / np.linalg.norm(two - one)
    symmetry = (one + two) / 2 - oxygen
    symmetry /= np.linalg.norm(symmetry)
    normal = np.cross(across, symmetry)
    found = [axis @ water @ axis for axis in (across, symmetry, normal)]
    np.testing.assert_allclose(found, [8.049, 6.398, 4.492], atol=2e-3)


def test_the_additive_model_explains_the_turned_tensors(batch: Batch) -> None:
    species, positions, tensors = batch
    model = additive_anisotropy(species, positions)

    def correlation(tensors: np.ndarray) -> float:
        traceless = tensors - np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        return float(np.corrcoef(traceless.ravel(), model.ravel())[0, 1])

    assert correlation(turn_into_frame_of_geometry(*batch)) > 0.95
    assert correlation(tensors) < 0.5


def test_the_additive_model_of_two_atoms() -> None:
    distance = 1.2
    model = additive_anisotropy(np.array([[6, 7]]), np.array([[[0, 0, 0], [0, 0, distance]]]))[0]
    powers = distance ** -np.array([1.0, 3.0, 6.0, 9.0])
    strength = np.dot(PAIR_ANISOTROPY["C", "N"], powers)
    np.testing.assert_allclose(model, strength * np.diag([-1, -1, 2]) / 3, atol=1e-12)


def test_principal_axes_are_a_rotation_in_order_of_inertia(batch: Batch) -> None:
    species, positions, _ = batch
    axes, centred = principal_axes(species, positions)
    np.testing.assert_allclose(np.linalg.det(axes), 1.0)
    charges = species.astype(float)
    second = np.einsum("bn,bni,bnj->bij", charges, centred, centred)
    spread = np.diagonal(second, axis1=1, axis2=2)
    assert np.all(np.diff(spread, axis=1) < 1e-9)  # little inertia: much spread along the axis
    off_diagonal = second[:, (0, 0, 1), (1, 2, 2)]
    np.testing.assert_allclose(off_diagonal, 0.0, atol=1e-9)
    np.testing.assert_allclose(np.einsum("bn,bni->bi", charges, centred), 0.0, atol=1e-9)
