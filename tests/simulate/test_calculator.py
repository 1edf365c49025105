"""The calculator against ASE's Lennard-Jones potential: units, signs, order of components."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from molnet.graph import StructureError
from molnet.models import Model, UnknownElementError, UnseenChargeWarning
from molnet.simulate import Calculator

MakeModel = Callable[..., Model]


def sheared_copper() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1.1, 0.05], [0.2, 0, 1]], scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def slab() -> Atoms:
    atoms = fcc111("Cu", (2, 2, 2), vacuum=5.0)
    atoms.pbc = [True, True, False]
    atoms.rattle(0.1, seed=2)
    return atoms


def boxed_molecule() -> Atoms:
    return molecule("CH3OH", cell=[3.0, 3.0, 3.0], pbc=False)


@pytest.mark.parametrize("build", [sheared_copper, slab, boxed_molecule])
def test_agrees_with_ase(
    build: Callable[[], Atoms], make_model: MakeModel, reference: LennardJones
) -> None:
    atoms, expected = build(), build()
    atoms.calc, expected.calc = Calculator(make_model()), reference
    energy = expected.get_potential_energy()
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), atol=1e-9)
    if atoms.pbc.any():
        np.testing.assert_allclose(atoms.get_stress(), expected.get_stress(), atol=1e-9)
        assert np.abs(atoms.get_stress()).min() > 1e-6, "a component of no size shows no order"


def test_float32_comes_as_float64(make_model: MakeModel, reference: LennardJones) -> None:
    atoms, expected = sheared_copper(), sheared_copper()
    atoms.calc, expected.calc = Calculator(make_model(dtype=torch.float32)), reference
    assert isinstance(atoms.get_potential_energy(), float)
    assert atoms.get_forces().dtype == atoms.get_stress().dtype == np.float64
    np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), rtol=1e-3, atol=1e-3)


def test_molecules_have_no_stress(make_model: MakeModel) -> None:
    atoms = boxed_molecule()
    atoms.calc = Calculator(make_model())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_slabs_without_a_third_vector_have_no_stress(make_model: MakeModel) -> None:
    atoms = slab()
    atoms.cell[2] = 0
    atoms.calc = Calculator(make_model())
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_isolated_atoms_are_no_error(make_model: MakeModel) -> None:
    atoms = Atoms("Cu")
    atoms.calc = Calculator(make_model())
    assert atoms.get_potential_energy() == 0.0
    np.testing.assert_array_equal(atoms.get_forces(), np.zeros((1, 3)))


def test_other_properties_have_their_names(make_model: MakeModel) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(make_model("energy", "homo", "dipole", "charges"))
    np.testing.assert_allclose(atoms.get_dipole_moment(), [10, 20, -10])
    np.testing.assert_allclose(atoms.get_charges(), [0.8, 0.1, 0.1])
    assert atoms.calc.get_property("homo", atoms) == pytest.approx(-10 / 7)


@pytest.mark.parametrize("repulsion", [False, True])
@pytest.mark.parametrize("forces", [False, True])
def test_energies_of_atoms_add_up_to_the_energy(forces: bool, repulsion: bool) -> None:
    name = "u0" if forces else "energy"
    network = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 2, "radial_hidden": [8]}
    targets = {name: {"references": {"H": -13.6, "O": -2043.0}, "scale": 0.3}}
    model = Model(
        {**network, "repulsion": repulsion and forces},
        {name: {"kind": "extensive", "forces": forces}},
        [1, 8],
        {"mean_neighbours": 2.0, "targets": targets},
    ).double()
    far = molecule("H2O")
    far.set_distance(0, 1, 0.4)  # where nuclei repel each other
    far.positions[:, 0] += 20.0
    atoms = molecule("H2O") + far
    atoms.rattle(0.02, seed=0)
    atoms.calc = Calculator(model)
    energies = atoms.get_potential_energies()
    assert energies.sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    far = atoms[3:]
    far.calc = Calculator(model)
    assert energies[3:].sum() == pytest.approx(far.get_potential_energy(), abs=1e-9)
    atoms.positions[0, 0] += 0.1  # results follow
    assert not np.allclose(atoms.get_potential_energies()[:3], energies[:3], atol=1e-6)
    np.testing.assert_allclose(atoms.get_potential_energies()[3:], energies[3:], atol=1e-9)


def test_energies_that_do_not_add_up_have_no_parts() -> None:
    network = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}
    model = Model(network, {"energy": {"kind": "intensive"}}, [1, 8], {"mean_neighbours": 2.0})
    atoms = molecule("H2O")
    atoms.calc = Calculator(model)
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_potential_energies()


def test_models_without_an_energy_say_so(make_model: MakeModel) -> None:
    atoms = molecule("H2O")
    atoms.calc = Calculator(make_model("homo"))
    with pytest.raises(PropertyNotImplementedError, match="energy"):
        atoms.get_potential_energy()


def test_results_follow_the_atoms(make_model: MakeModel) -> None:
    atoms = sheared_copper()
    atoms.calc = Calculator(make_model())
    before = atoms.get_potential_energy()
    atoms.positions[0] += 0.1
    moved = atoms.get_potential_energy()
    atoms.pbc = False
    assert len({before, moved, atoms.get_potential_energy()}) == 3


def test_relaxing_atoms_and_cell_ends_without_forces_and_stress(make_model: MakeModel) -> None:
    atoms = sheared_copper()
    atoms.calc = Calculator(make_model())
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=200)
    assert np.abs(atoms.get_forces()).max() < 0.01
    assert np.abs(atoms.get_stress()).max() < 1e-3


def test_constraints_act_on_ase_and_not_on_the_model(make_model: MakeModel) -> None:
    free, fixed = sheared_copper(), sheared_copper()
    fixed.set_constraint(FixAtoms([0]))
    for atoms in (free, fixed):
        atoms.calc = Calculator(make_model())
    np.testing.assert_array_equal(fixed.get_forces()[0], 0)
    np.testing.assert_array_equal(fixed.get_forces(apply_constraint=False), free.get_forces())


def test_a_given_model_stays_where_it_is(make_model: MakeModel) -> None:
    model = make_model(dtype=torch.float32)
    assert Calculator(model).model is model
    double = Calculator(model, dtype=torch.float64).model
    assert double.dtype == torch.float64
    assert model.dtype == torch.float32


def test_a_model_that_is_converted_later_is_followed() -> None:
    network = {"cutoff": 4.0, "channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]}
    head = {"kind": "extensive", "forces": True}
    model = Model(network, {"energy": head}, [1, 8], {"mean_neighbours": 2.0})
    calculator, atoms = Calculator(model), molecule("H2O")
    single = calculator.get_forces(atoms)
    model.double()
    calculator.reset()
    double = calculator.get_forces(atoms)
    np.testing.assert_array_equal(double, model.predict([atoms])[0]["forces"])
    assert not np.array_equal(single, double)
    with torch.no_grad():
        model.heads["energy"].readout[-1].weight.mul_(2.0)
    calculator.reset()
    np.testing.assert_allclose(calculator.get_forces(atoms), 2 * double, rtol=1e-12)


def test_unknown_elements_and_broken_structures_are_named(make_model: MakeModel) -> None:
    calculator = Calculator(make_model())
    with pytest.raises(UnknownElementError, match=r"Au.*H, C, O, Cu"):
        calculator.get_potential_energy(Atoms("CuAu", [[0, 0, 0], [0, 0, 2]]))
    with pytest.raises(StructureError, match="same place"):
        calculator.get_potential_energy(Atoms("Cu2", [[0, 0, 0], [0, 0, 0]]))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Calculator(tmp_path / "nowhere")


def test_an_implausible_structure_is_pointed_out_once(make_model: MakeModel) -> None:
    calculator = Calculator(make_model())
    atoms = molecule("CH3OH")
    atoms.positions /= 10
    with pytest.warns(UserWarning, match="Is the unit of length nm"):
        calculator.get_potential_energy(atoms)
    atoms.positions[0, 0] += 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.get_potential_energy(atoms)  # the next step of dynamics
        calculator.get_potential_energy(molecule("H2O"))


def test_other_positions_of_the_same_atoms_are_judged_anew(make_model: MakeModel) -> None:
    """Frames of a file that share a calculator; steps of dynamics are not judged again."""
    atoms = molecule("C6H6")
    atoms.calc = Calculator(make_model())
    atoms.get_potential_energy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            atoms.rattle(0.05, rng=np.random.default_rng(0))
            atoms.get_potential_energy()
    atoms.positions /= 10  # nm
    with pytest.warns(UserWarning, match="apart"):
        atoms.get_potential_energy()


def test_the_total_charge_is_an_input(make_dipole_model: Callable[[list[int]], Model]) -> None:
    atoms = molecule("CH3OH")
    atoms.calc = Calculator(make_dipole_model([0, 1]))
    totals = []
    for charge in (0, 1, 1, 0):
        atoms.info["charge"] = charge  # nothing else changes
        totals.append(atoms.get_charges().sum())
    np.testing.assert_allclose(totals, [0, 1, 1, 0], atol=1e-10)
    del atoms.info["charge"]
    atoms.set_initial_charges([1, 0, 0, 0, 0, 0])
    assert atoms.get_charges().sum() == pytest.approx(1.0)
    atoms.set_initial_charges([0.3, 0, 0, 0, 0, 0])
    with pytest.raises(StructureError, match=r"sum is no whole number. State it in atoms.info"):
        atoms.get_charges()


def test_total_charges_that_were_not_trained_on_are_said_once(
    make_dipole_model: Callable[[list[int]], Model],
) -> None:
    atoms = molecule("CH3OH")
    atoms.calc = Calculator(make_dipole_model([0, 1]))
    atoms.info["charge"] = -1
    with pytest.warns(UnseenChargeWarning, match=r"is -1 e, but all training .* had 0, \+1 e"):
        atoms.get_charges()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.rattle(0.01)
        atoms.get_charges()
        atoms.info["charge"] = 1
        atoms.get_charges()
    model = make_dipole_model([0, 1])
    with pytest.warns(UnseenChargeWarning, match="^structure 2: the total charge is -1 e"):
        first, *_, last = model.predict([molecule("H2O"), atoms, charged(atoms, -1)], batch_size=1)
    assert first["charges"].sum() == pytest.approx(0.0, abs=1e-10)
    assert last["charges"].sum() == pytest.approx(-1.0)


def charged(atoms: Atoms, charge: int) -> Atoms:
    copy = atoms.copy()
    copy.info["charge"] = charge
    return copy
