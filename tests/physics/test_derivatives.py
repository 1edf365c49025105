"""Forces and stress are exact derivatives, and nothing jumps when an atom crosses the cutoff."""

from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph import from_atoms
from molnet.models import Model


def energy(model: Model, atoms: Atoms) -> float:
    return float(model.predict([atoms])[0]["energy"])


def test_forces_are_finite_differences(model: Model, ethanol: Atoms, crystal: Atoms) -> None:
    step = 1e-4
    for atoms in (ethanol, crystal):
        forces = model.predict([atoms])[0]["forces"]
        # Of weights drawn at random: a thousand times what the comparison below leaves open.
        assert np.abs(forces).max() > 1e-3
        for atom, axis in [(0, 0), (1, 2)]:
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step
                energies.append(energy(model, moved))
            assert abs(-(energies[0] - energies[1]) / (2 * step) - forces[atom, axis]) < 1e-6


def test_stress_is_a_finite_strain(model: Model, crystal: Atoms) -> None:
    step = 1e-4
    stress = model.predict([crystal])[0]["stress"]
    np.testing.assert_allclose(stress, stress.T, atol=1e-14)
    assert np.abs(stress).max() > 1e-4
    for i, j in [(0, 0), (1, 1), (0, 1), (1, 2)]:
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = crystal.copy()
            strained.set_cell(crystal.cell @ strain, scale_atoms=True)
            energies.append(energy(model, strained))
        slope = (energies[0] - energies[1]) / (2 * step) / crystal.get_volume()
        assert abs(slope - stress[i, j]) < 1e-7


def curve(
    model: Model, atoms: Atoms, distances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy, and force on the last atom, as it leaves along x."""
    frames = []
    for distance in distances:
        frame = atoms.copy()
        frame.positions[-1] = [distance, 0.0, 0.0]
        frames.append(frame)
    results = model.predict(frames)
    return (
        np.array([result["energy"] for result in results]),
        np.array([result["forces"][-1, 0] for result in results]),
    )


def test_smooth_at_the_cutoff(make_model: Callable[..., Model]) -> None:
    """Value, slope and curvature vanish at the cutoff, from inside as from outside."""
    model = make_model(cutoff=3.0)
    atoms = Atoms("COH", positions=[[0, 0, 0], [0, -1.2, 0], [2, 0, 0]])
    h = 1e-3
    distances = 3.0 + h * np.arange(-6, 7)
    energies, forces = curve(model, atoms, distances)
    outside, _ = curve(model, atoms, np.array([4.0]))

    # The envelope's first nonzero derivative at the cutoff is the third: E ~ (rc − r)³.
    inside = distances < 3.0
    np.testing.assert_allclose(energies[~inside], outside[0], atol=1e-12)
    assert np.all(np.abs(energies[inside] - outside[0]) < 1e3 * (3.0 - distances[inside]) ** 3)
    assert np.all(np.abs(forces[inside]) < 1e4 * (3.0 - distances[inside]) ** 2)
    curvature = np.diff(forces) / h
    assert np.abs(np.diff(curvature)).max() < 10 * h * 1e3

    # Negative control: the same bounds reject a function that only vanishes linearly.
    assert not np.all((3.0 - distances[inside]) < 1e3 * (3.0 - distances[inside]) ** 3)


def test_second_derivatives(model: Model, ethanol: Atoms) -> None:
    """The gradient of a force loss with respect to the weights is a finite difference."""
    model.train()
    graph = from_atoms([ethanol], model.cutoff, torch.float64)
    weight = model.network.interactions[1].linear_out.weight

    def loss() -> torch.Tensor:
        outputs = model(graph)
        return outputs["forces"].square().sum() + outputs["energy"].sum()

    (gradient,) = torch.autograd.grad(loss(), weight)
    index, step = int(gradient.abs().argmax()), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[index] += sign * step
        values.append(float(loss().detach()))
        with torch.no_grad():
            weight[index] -= sign * step
    slope = (values[0] - values[1]) / (2 * step)
    assert abs(slope - float(gradient[index])) < 1e-6 * max(1.0, abs(slope))
