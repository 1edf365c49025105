"""The calculator in ASE's own tools, in copies, and in other processes."""

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.constraints import FixAtoms, FixBondLength
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.phonons import Phonons
from ase.vibrations import Vibrations

import molnet
from molnet.models import Model
from molnet.simulate import Calculator

MakeModel = Callable[..., Model]


def trimer() -> Atoms:
    atoms = Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [1.2, 2.2, 0.1]])
    atoms.rattle(0.02, seed=0)
    return atoms


def test_a_pickled_calculator_computes_the_same(make_model: MakeModel) -> None:
    atoms = trimer()
    atoms.calc = Calculator(make_model())
    forces = atoms.get_forces()
    again = pickle.loads(pickle.dumps(atoms))  # noqa: S301 - our own
    np.testing.assert_array_equal(again.get_forces(), forces)  # kept
    again.positions[0, 0] += 0.1
    atoms.positions[0, 0] += 0.1
    np.testing.assert_array_equal(again.get_forces(), atoms.get_forces())


def test_other_processes_take_in_a_calculator() -> None:
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.2]])
    atoms.calc = molnet.Calculator("organic", device="cpu")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (energy,) = pool.map(Atoms.get_potential_energy, [atoms])
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)


def test_copies_share_the_model_and_nothing_else(make_model: MakeModel) -> None:
    first = trimer()
    first.calc = Calculator(make_model())
    energy = first.get_potential_energy()
    for made in (copy.copy(first.calc), copy.deepcopy(first.calc)):
        assert made.frozen is first.calc.frozen
        assert made.graph is not first.calc.graph
        second = first.copy()
        second.calc = made
        second.positions[0, 0] += 0.3
        assert second.get_potential_energy() != energy
        assert first.get_potential_energy() == energy
        assert first.calc.results["energy"] == energy


def test_both_forms_of_the_stress(make_model: MakeModel, reference: LennardJones) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    expected = atoms.copy()
    atoms.calc, expected.calc = Calculator(make_model()), reference
    for voigt in (True, False):
        stress = atoms.get_stress(voigt=voigt)
        np.testing.assert_allclose(stress, expected.get_stress(voigt=voigt), atol=1e-9)


def test_neb_with_one_calculator_for_all_images(make_model: MakeModel) -> None:
    start = Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0], [1.25, 2.2, 0], [1.25, 0.7, 2.0]])
    end = start.copy()
    end.positions[3, 2] *= -1
    calculator = Calculator(make_model())
    for atoms in (start, end):
        atoms.calc = calculator
        BFGS(atoms, logfile=None).run(fmax=0.01)
    path = [start, *(start.copy() for _ in range(3)), end]
    for image in path[1:-1]:
        image.calc = calculator
    neb = NEB(path, climb=True, allow_shared_calculator=True)
    neb.interpolate("idpp")
    assert FIRE(neb, logfile=None).run(fmax=0.05, steps=300)
    energies = [image.get_potential_energy() for image in path]
    assert np.argmax(energies) == 2
    assert energies[2] > energies[0] + 0.5
    assert energies[0] == pytest.approx(energies[-1], abs=1e-3)


def test_vibrations(make_model: MakeModel, reference: LennardJones, tmp_path: Path) -> None:
    spectra = []
    for number, calculator in enumerate((Calculator(make_model()), reference)):
        atoms = trimer()
        atoms.calc = calculator
        vibrations = Vibrations(atoms, name=str(tmp_path / str(number)))
        vibrations.run()
        spectra.append(vibrations.get_frequencies())
    np.testing.assert_allclose(*spectra, atol=1e-3)


def test_phonons(make_model: MakeModel, reference: LennardJones, tmp_path: Path) -> None:
    bands = []
    for number, calculator in enumerate((Calculator(make_model()), reference)):
        phonons = Phonons(
            bulk("Cu", a=3.5), calculator, supercell=(2, 2, 2), name=str(tmp_path / str(number))
        )
        phonons.run()
        phonons.read(acoustic=True)
        bands.append(phonons.band_structure(np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.0]])))
    np.testing.assert_allclose(*bands, atol=1e-8)


def test_sums_of_calculators(make_model: MakeModel, reference: LennardJones) -> None:
    atoms, expected = trimer(), trimer()
    atoms.calc = SumCalculator([Calculator(make_model()), copy.deepcopy(reference)])
    expected.calc = reference
    assert atoms.get_potential_energy() == pytest.approx(2 * expected.get_potential_energy())
    np.testing.assert_allclose(atoms.get_forces(), 2 * expected.get_forces(), atol=1e-9)


def test_constraints_hold_in_dynamics_and_optimisers_of_cells(make_model: MakeModel) -> None:
    atoms = trimer()
    atoms.calc = Calculator(make_model())
    atoms.set_constraint([FixAtoms([2]), FixBondLength(0, 1)])
    still, length = atoms.positions[2].copy(), atoms.get_distance(0, 1)
    rng = np.random.default_rng(0)
    Langevin(atoms, units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng).run(50)
    np.testing.assert_array_equal(atoms.positions[2], still)
    assert atoms.get_distance(0, 1) == pytest.approx(length, abs=1e-8)
    crystal = bulk("Cu", a=3.3, cubic=True)
    crystal.calc = Calculator(make_model())
    assert BFGS(FrechetCellFilter(crystal), logfile=None).run(fmax=0.01, steps=100)
    assert np.abs(crystal.get_stress()).max() < 0.01
