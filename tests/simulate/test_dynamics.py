"""What people do with a calculator: dynamics, relaxation, vibrations, with and without a skin."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from molnet.models import Model
from molnet.simulate import Calculator

MakeModel = Callable[..., Model]


@pytest.fixture(scope="module")
def network_model() -> Model:
    """Untrained, in float64; the cutoff is near enough for atoms to cross it."""
    torch.manual_seed(0)
    network = {"cutoff": 2.6, "channels": 8, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}
    head = {"kind": "extensive", "forces": True}
    statistics = {"mean_neighbours": 3.0, "targets": {"energy": {"scale": 3.0}}}
    return Model(network, {"energy": head}, [1, 6, 8, 29], statistics).double().eval()


def crystal() -> Atoms:
    return bulk("Cu", cubic=True) * (2, 2, 2)


def slab() -> Atoms:
    atoms = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    atoms.pbc = [True, True, False]
    return atoms


def dynamics(
    atoms: Atoms, calculator: Calculator, steps: int, temperature: float, femtoseconds: float = 0.5
) -> Iterator[Atoms]:
    """NVE from velocities of a set temperature in K."""
    atoms = atoms.copy()
    atoms.calc = calculator
    spread = np.sqrt(units.kB * temperature * atoms.get_masses())
    momenta = np.random.default_rng(1).standard_normal((len(atoms), 3)) * spread[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    for _ in VelocityVerlet(atoms, femtoseconds * units.fs).irun(steps):
        yield atoms


@pytest.mark.parametrize(
    "atoms", [molecule("CH3CH2OH"), crystal(), slab()], ids=["molecule", "crystal", "slab"]
)
def test_a_skin_changes_no_trajectory(atoms: Atoms, network_model: Model) -> None:
    calculators = [Calculator(network_model, skin=skin) for skin in (0.0, 0.4)]
    runs = [dynamics(atoms, calculator, 60, 1500.0, 1.0) for calculator in calculators]
    for plain, skinned in zip(*runs, strict=True):
        np.testing.assert_allclose(skinned.positions, plain.positions, rtol=0, atol=1e-11)
        for name in ("energy", "forces", *(["stress"] if atoms.pbc.any() else [])):
            expected = plain.calc.get_property(name, plain)
            np.testing.assert_allclose(
                skinned.calc.get_property(name, skinned), expected, rtol=0, atol=1e-10
            )
    assert np.abs(plain.positions - atoms.positions).max() > 0.4, "it must have moved"
    plain_searches, searches = (calculator.graph.searches for calculator in calculators)
    assert plain_searches == 61
    assert 1 < searches < 40


def test_one_calculator_serves_structures_in_turn(make_model: MakeModel) -> None:
    """Also those that are wrapped, strained, of other elements or numbers of atoms."""
    shared = Calculator(make_model())
    stretched, alloy, wrapped = crystal(), crystal(), crystal()
    stretched.set_cell(stretched.cell.array * 1.01, scale_atoms=False)
    alloy.numbers[3] = 8
    wrapped.positions[0] += wrapped.cell.array[1]
    structures = [crystal(), stretched, alloy, wrapped, slab(), molecule("CH4"), crystal()[1:]]
    for atoms in [*structures, *structures]:
        expected = atoms.copy()
        expected.calc = Calculator(make_model(), skin=0)
        for name in ("energy", "forces"):
            np.testing.assert_allclose(
                shared.get_property(name, atoms),
                expected.calc.get_property(name, expected),
                atol=1e-11,
            )


def energies(atoms: Atoms, calculator: Calculator, steps: int) -> np.ndarray:
    """Total energies along a trajectory at 600 K."""
    run = dynamics(atoms, calculator, steps, 600.0, 0.25)
    return np.array([atoms.get_total_energy() for atoms in run])


def drift(totals: np.ndarray) -> float:
    """By how much the total energy of the second half differs from that of the first."""
    first, second = np.array_split(totals, 2)
    return abs(second.mean() - first.mean())


@pytest.mark.slow
def test_dynamics_conserve_energy(network_model: Model) -> None:
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = Calculator(network_model)
    assert BFGS(ethanol, logfile=None).run(fmax=0.05, steps=100)
    calculator = Calculator(network_model, skin=0.3)
    assert drift(energies(ethanol, calculator, 400)) < 1e-4
    assert 2 < calculator.graph.searches < 100

    late = Calculator(network_model, skin=0.0)  # negative control: neighbours that come too late
    calls = count()
    late.get_potential_energy(ethanol)
    assert late.graph.graphs is not None
    late.graph.graphs._outdated = (  # type: ignore[method-assign]
        lambda *now: np.array([next(calls) % 100 == 99])
    )
    assert drift(energies(ethanol, late, 400)) > 1e-2


def test_an_atom_leaves_and_comes_back(make_model: MakeModel, reference: LennardJones) -> None:
    """Beyond the cutoff of all others it has no edges; at first no atom has."""
    calculator, atoms = Calculator(make_model()), molecule("CH4")
    for distance in [50.0, 5.5, 4.9, 3.0, 4.9, 5.1, 1e6, 3.0]:
        atoms.positions[0] = [distance, 0, 0]
        expected = atoms.copy()
        expected.calc = reference
        assert calculator.get_potential_energy(atoms) == pytest.approx(
            expected.get_potential_energy(), abs=1e-6
        )
        forces = calculator.get_forces(atoms)
        np.testing.assert_allclose(forces, expected.get_forces(), rtol=1e-7, atol=1e-6)
        assert (distance > 6) == (not forces[0].any())


def test_one_atom_flies_straight(network_model: Model) -> None:
    *_, atoms = dynamics(Atoms("Cu", momenta=[[1, 0, 0]]), Calculator(network_model), 5, 300.0)
    np.testing.assert_array_equal(atoms.get_forces(), np.zeros((1, 3)))


def test_vibrations_of_a_dimer(
    make_model: MakeModel, reference: LennardJones, tmp_path: Path
) -> None:
    """ω² = 2 k / m with the curvature k = 72 ε / (2^⅓ σ²) of Lennard-Jones at its minimum."""
    sigma, epsilon = reference.parameters.sigma, reference.parameters.epsilon
    dimer = Atoms("Cu2", [[0, 0, 0], [0, 0, 2 ** (1 / 6) * sigma]])
    dimer.calc = Calculator(make_model())
    vibrations = Vibrations(dimer, name=str(tmp_path / "vibrations"), delta=1e-3)
    vibrations.run()
    energies = vibrations.get_energies()
    k = 72 * epsilon / (2 ** (1 / 3) * sigma**2)
    omega = np.sqrt(2 * k / dimer.get_masses()[0])
    expected = units._hbar * 1e10 / np.sqrt(units._e * units._amu) * omega
    assert energies[-1].real == pytest.approx(expected, rel=1e-4)
    assert np.abs(energies[:-1]).max() < 1e-3 * expected
