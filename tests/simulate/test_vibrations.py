"""Vibrations against ASE's and against formulas."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.vibrations import VibrationsData

from molnet import load
from molnet.models import Model
from molnet.simulate.hessian import hessian
from molnet.simulate.relaxation import relax
from molnet.simulate.vibrations import Vibrations, vibrations

MakeModel = Callable[..., Model]


@pytest.fixture
def model(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The Lennard-Jones model, also where second derivatives are taken."""
    made = make_model()

    def differentiated(graph, species, vectors, bound):  # type: ignore[no-untyped-def]
        outputs = made._values(graph, vectors)
        total = outputs["energy"].sum()
        (gradients,) = torch.autograd.grad(
            total, vectors, create_graph=True, materialize_grads=True
        )
        return outputs, gradients

    monkeypatch.setattr(type(made), "_differentiated", lambda self, *args: differentiated(*args))
    return made


def relaxed(model: Model, atoms: Atoms) -> Atoms:
    (one,) = relax(model, [atoms], fmax=1e-6)
    assert one.converged
    return one.atoms


def test_a_dimer_has_the_frequency_of_its_formula(model: Model, reference: LennardJones) -> None:
    """ω² = k / μ with k = 72 ε / (2^⅓ σ²) of Lennard-Jones at its minimum."""
    sigma = reference.parameters.sigma
    dimer = Atoms("CuH", [[0, 0, 0], [0.3, 0.1, 2 ** (1 / 6) * sigma - 0.02]])
    found = vibrations(model, relaxed(model, dimer))
    k, (m1, m2) = 72 / (2 ** (1 / 3) * sigma**2), dimer.get_masses()
    omega = np.sqrt(k * (m1 + m2) / (m1 * m2))
    expected = omega * units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
    assert found.frequencies == pytest.approx([expected], rel=1e-6)
    assert found.zero_point_energy == pytest.approx(expected * units.invcm / 2)
    assert (found.free, found.imaginary) == (True, 0)


def test_a_cluster_has_the_frequencies_of_ase(model: Model) -> None:
    cluster = relaxed(model, Atoms("Cu3H", [[0, 0, 0], [2.4, 0, 0], [1.2, 2.1, 0], [1.2, 0.7, 2]]))
    found = vibrations(model, cluster)
    by_ase = VibrationsData(cluster, hessian(model, cluster)).get_frequencies()
    np.testing.assert_allclose(found.frequencies, by_ase[6:].real, rtol=1e-5)
    weighted = (np.sqrt(cluster.get_masses())[:, None] * found.modes).reshape(6, 12)
    np.testing.assert_allclose(weighted @ weighted.T, np.eye(6), atol=1e-10)


def test_a_crystal_vibrates_without_moving_as_a_whole(model: Model) -> None:
    crystal = relaxed(model, bulk("Cu", "fcc", a=3.4, cubic=True))
    found = vibrations(model, crystal)
    assert found.frequencies.shape == (9,)
    assert found.frequencies.min() > 10
    assert not found.free
    cold, hot = found.free_energy(1.0), found.free_energy(1000.0)
    assert cold == pytest.approx(found.energy + found.zero_point_energy)
    assert hot < cold


def test_some_atoms_vibrate_while_others_are_held(model: Model) -> None:
    cluster = relaxed(model, Atoms("Cu3H", [[0, 0, 0], [2.4, 0, 0], [1.2, 2.1, 0], [1.2, 0.7, 2]]))
    found = vibrations(model, cluster, [3])
    by_ase = VibrationsData(cluster, hessian(model, cluster, [3]), [3]).get_frequencies()
    np.testing.assert_allclose(found.frequencies, by_ase.real, rtol=1e-8)


def test_a_saddle_point_has_an_imaginary_frequency(model: Model, reference: LennardJones) -> None:
    """Three atoms in a line: bending lowers the energy."""
    r = 2 ** (1 / 6) * reference.parameters.sigma
    line = relaxed(model, Atoms("Cu3", [[0, 0, 0], [0, 0, r], [0, 0, 2 * r]]))
    found = vibrations(model, line)
    assert found.frequencies.shape == (4,)
    assert found.imaginary == 2
    assert len(found.quanta) == 2
    assert np.isfinite(found.free_energy(300.0))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_free_energies_of_atoms_lines_and_bent_molecules(model: Model, number: int) -> None:
    atoms = relaxed(model, Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [1.2, 2.1, 0]])[:number])
    found = vibrations(model, atoms)
    assert found.frequencies.shape == ({1: 0, 2: 1, 3: 3}[number],)
    energies = [found.free_energy(temperature) for temperature in (100.0, 300.0, 600.0)]
    assert energies == sorted(energies, reverse=True)
    more = found.free_energy(300.0, pressure=10.0) - energies[1]
    assert more == pytest.approx(units.kB * 300 * np.log(10), rel=1e-6)
    # A rotation counts once for all that look alike, a state of spin S for 2S + 1.
    rotations = found.free_energy(300.0, symmetry_number=2) - energies[1]
    assert rotations == pytest.approx(units.kB * 300 * np.log(2) * (number > 1), rel=1e-6)
    spins = found.free_energy(300.0, spin=1.0) - energies[1]
    assert spins == pytest.approx(-units.kB * 300 * np.log(3), rel=1e-6)


def test_infrared_intensities(monkeypatch: pytest.MonkeyPatch) -> None:
    """A diatomic whose dipole grows with its length by one charge: |∂μ/∂Q|² = 1 / μ."""
    from molnet.simulate import vibrations as module

    dimer = Atoms("HF", [[0, 0, 0], [0, 0, 0.92]])
    spring = np.zeros((2, 3, 2, 3))
    spring[0, 2, 0, 2] = spring[1, 2, 1, 2] = 30.0
    spring[0, 2, 1, 2] = spring[1, 2, 0, 2] = -30.0
    slope = np.zeros((3, 2, 3))
    slope[2, 0, 2], slope[2, 1, 2] = -1.0, 1.0
    monkeypatch.setattr(module, "hessian", lambda *given: spring)
    monkeypatch.setattr(module, "dipole_derivatives", lambda *given: slope)
    monkeypatch.setattr(module, "FrozenModel", _StandIn)
    found = vibrations(_StandIn(), dimer)  # type: ignore[arg-type]
    m1, m2 = dimer.get_masses()
    assert found.intensities == pytest.approx([974.8801 * (m1 + m2) / (m1 * m2)])
    *_, last = found.moving(0, frames=4, amplitude=0.5)
    assert np.abs(last.positions - dimer.positions).max() == pytest.approx(0.5)
    assert isinstance(found, Vibrations)


def test_the_order_of_the_atoms_that_vibrate_changes_nothing() -> None:
    model, ethanol = load("organic").double(), molecule("CH3CH2OH")
    expected = vibrations(model, ethanol)
    found = vibrations(model, ethanol, [*range(8, -1, -1), 0])
    assert found.free
    np.testing.assert_allclose(found.frequencies, expected.frequencies, atol=1e-6)
    some = vibrations(model, ethanol, [5, 2, 8])
    np.testing.assert_allclose(
        some.frequencies, vibrations(model, ethanol, [2, 5, 8]).frequencies, atol=1e-6
    )


@pytest.mark.parametrize("off_axis", [0.0, 5e-4, 0.01])
def test_a_linear_molecule_is_one_when_not_quite_relaxed(off_axis: float) -> None:
    """Both bends are there."""
    model, molecule_ = load("organic").double(), molecule("CO2")
    molecule_.positions[0, 0] += off_axis
    frequencies = vibrations(model, molecule_).frequencies
    assert len(frequencies) == 4
    assert frequencies[0] == pytest.approx(frequencies[1], abs=1.0)


class _StandIn:
    """What :func:`vibrations` asks of a model, besides its derivatives."""

    def __init__(self) -> None:
        self.model = self
        self.properties = ("energy", "dipole")
        self.energy = "energy"

    @staticmethod
    def of(model: "_StandIn") -> "_StandIn":
        return model

    def predict(self, structures: list[Atoms]) -> list[dict[str, float]]:
        return [{"energy": -1.0} for _ in structures]
