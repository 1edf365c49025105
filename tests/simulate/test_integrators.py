"""Integrators against what statistical mechanics says, on a crystal with a known potential."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLengths
from ase.md.verlet import VelocityVerlet

from molnet.models import Model
from molnet.simulate import Calculator
from molnet.simulate.dynamics import Dynamics
from molnet.simulate.integrators import Integrator
from molnet.simulate.many import Many

MakeModel = Callable[..., Model]
A = 3.4  # Å, near the minimum of the Lennard-Jones crystal of the fixtures


def crystals(number: int) -> list[Atoms]:
    return [bulk("Cu", "fcc", a=A, cubic=True) for _ in range(number)]


def test_velocity_verlet_is_that_of_ase(make_model: MakeModel) -> None:
    atoms = bulk("Cu", "fcc", a=A, cubic=True) * (2, 1, 1)
    atoms.rattle(0.02, seed=0)
    atoms.set_momenta(np.random.default_rng(0).standard_normal((8, 3)))
    dynamics = Dynamics(
        make_model(), [Atoms("CH", [[0, 0, 0], [2.5, 0, 0]]), atoms], "nve", steps=50, timestep=2.0
    )
    for _ in range(50):
        dynamics.step()
    by_ase = atoms.copy()
    by_ase.calc = Calculator(make_model())
    VelocityVerlet(by_ase, 2.0 * units.fs).run(50)
    np.testing.assert_allclose(dynamics.atoms(1).positions, by_ase.positions, atol=1e-10)
    np.testing.assert_allclose(dynamics.atoms(1).get_momenta(), by_ase.get_momenta(), atol=1e-9)
    assert np.abs(by_ase.positions - atoms.positions).max() > 0.05


def test_nve_conserves_energy_to_second_order(make_model: MakeModel) -> None:
    def spread(timestep: float) -> float:
        steps = int(100 / timestep)
        dynamics = Dynamics(
            make_model(), crystals(1), "nve", 600.0, steps=steps, timestep=timestep, seed=3
        )
        totals = []
        for _ in range(steps):
            dynamics.step()
            kinetic = dynamics.integrator.kinetic_energies(dynamics.state.momenta)
            totals.append(float((kinetic + dynamics.state.evaluation.energies)[0]))
        return float(np.std(totals))

    assert spread(4.0) / spread(2.0) == pytest.approx(4.0, rel=0.2)


@pytest.mark.parametrize("ensemble", ["langevin", "bussi"])
def test_thermostats_sample_the_canonical_ensemble(make_model: MakeModel, ensemble: str) -> None:
    """⟨K⟩ = f kT / 2 and var K = f (kT)² / 2, over 64 replicas from a cold start."""
    dynamics = Dynamics(
        make_model(),
        crystals(64),
        ensemble,  # type: ignore[arg-type]
        [0.0, 400.0, 400.0, 400.0, 400.0],
        steps=300,
        timestep=2.0,
        thermostat_time=20.0,
    )
    kinetic = []
    for step in range(300):
        dynamics.step()
        if step > 120 and step % 10 == 0:
            kinetic.append(dynamics.integrator.kinetic_energies(dynamics.state.momenta))
    thermal = units.kB * 400.0
    degrees = 12 if ensemble == "langevin" else 9
    assert np.mean(kinetic) == pytest.approx(degrees * thermal / 2, rel=0.04)
    assert np.var(kinetic) == pytest.approx(degrees * thermal**2 / 2, rel=0.15)


@pytest.mark.slow
def test_npt_reaches_the_pressure(make_model: MakeModel) -> None:
    pressures: dict[float, list[float]] = {0.0: [], 20.0: []}
    volumes: dict[float, list[float]] = {0.0: [], 20.0: []}
    for pressure, found in pressures.items():
        dynamics = Dynamics(
            make_model(),
            crystals(32),
            "npt",
            300.0,
            steps=300,
            timestep=4.0,
            thermostat_time=30.0,
            barostat_time=100.0,
            compressibility=0.01,
            pressure=pressure,
        )
        for step in range(300):
            dynamics.step()
            if step > 150:
                found.append(dynamics.integrator.pressures(dynamics.state).mean() / units.GPa)
                volumes[pressure].append(np.linalg.det(dynamics.state.cells).mean())
        assert np.mean(found) == pytest.approx(pressure, abs=1.5)
    assert np.mean(volumes[20.0]) < 0.99 * np.mean(volumes[0.0])


def test_momenta_are_drawn_at_rest_and_at_the_temperature() -> None:
    fixed = molecule("CH4")
    fixed.set_constraint(FixAtoms([0]))
    structures = [molecule("CH3CH2OH"), molecule("CO2"), bulk("Cu", cubic=True), fixed, Atoms("H")]
    many = Many(structures)
    integrator = Integrator(many, "bussi")
    np.testing.assert_array_equal(integrator.degrees, [21, 4, 9, 12, 1])
    momenta = integrator.thermal_momenta(many.positions, 300.0)
    np.testing.assert_allclose(integrator.temperatures(momenta)[:4], 300.0)
    for place in (0, 1, 2):
        part = many.atoms_of(place)
        np.testing.assert_allclose(momenta[part].sum(axis=0), 0.0, atol=1e-9)
    for place in (0, 1):
        part = many.atoms_of(place)
        centre = structures[place].get_center_of_mass()
        angular = np.cross(many.positions[part] - centre, momenta[part]).sum(axis=0)
        np.testing.assert_allclose(angular, 0.0, atol=1e-9)
    assert not momenta[many.atoms_of(3)][0].any()


def test_constraints_hold_in_dynamics(make_model: MakeModel) -> None:
    rigid = Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [0, 2.4, 0]])
    rigid.set_constraint([FixBondLengths([[0, 1]])])
    held = Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [0, 2.4, 0]])
    held.set_constraint(FixAtoms([2]))
    dynamics = Dynamics(make_model(), [rigid, held], "langevin", 300.0, steps=50, timestep=2.0)
    for _ in range(50):
        dynamics.step()
    assert dynamics.atoms(0).get_distance(0, 1) == pytest.approx(2.5, abs=1e-6)
    assert dynamics.atoms(0).get_distance(0, 2) != pytest.approx(2.4, abs=1e-3)
    np.testing.assert_array_equal(dynamics.atoms(1).positions[2], [0, 2.4, 0])
    assert not dynamics.atoms(1).get_momenta()[2].any()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"ensemble": "nvt"}, r"ensemble=nve\|langevin\|bussi\|npt, received 'nvt'"),
        ({"timestep": 0}, "timestep > 0 fs, received 0"),
        ({"thermostat_time": np.nan}, "thermostat_time > 0 fs, received nan"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Integrator(Many([molecule("CH4")]), **setting)  # type: ignore[arg-type]
