"""The bundled model holds what its card says, on molecules that it was not trained on.

``models/organic_held_out.extxyz`` is made by ``scripts/check_organic_model.py --only sample``.
"""

from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import chemical_symbols, covalent_radii
from ase.io import read
from scipy.spatial.distance import pdist

from molnet.models import Model, OutsideDomainWarning, load_model
from molnet.simulate.dynamics import Dynamics
from molnet.simulate.relaxation import relax

FRAMES: list[Atoms] = read(Path(__file__).parent / "models" / "organic_held_out.extxyz", ":")
ORDINARY = ("relaxed", "md300", "md600", "dimer", "complex", "cluster")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("organic")


def test_its_elements_and_size(model: Model) -> None:
    assert [chemical_symbols[number] for number in model.species] == ["H", "C", "N", "O", "F"]
    assert sum(weight.numel() for weight in model.parameters()) < 700_000


@pytest.mark.filterwarnings("ignore::molnet.models.OutsideDomainWarning")  # some are distorted
@pytest.mark.parametrize("atoms", FRAMES, ids=lambda atoms: f"{atoms.info['kind']}")
def test_energies_and_forces_are_those_of_xtb(model: Model, atoms: Atoms) -> None:
    predicted = model.predict(atoms)
    energy = (float(predicted["energy"]) - atoms.get_potential_energy()) / len(atoms)
    forces = np.abs(predicted["forces"] - atoms.get_forces()).mean()
    ordinary = atoms.info["kind"] in ORDINARY
    assert abs(energy) < (0.03 if ordinary else 0.1)
    assert forces < (0.15 if ordinary else 0.1 * np.abs(atoms.get_forces()).mean() + 0.2)


@pytest.mark.filterwarnings("ignore::UserWarning")  # such structures are impossible, and named so
@pytest.mark.parametrize("pair", [*combinations_with_replacement("HCNOF", 2)], ids="".join)
def test_atoms_that_come_close_repel_each_other(model: Model, pair: tuple[str, str]) -> None:
    atoms = Atoms("".join(pair))
    touching = covalent_radii[atoms.numbers].sum()
    for factor in np.arange(0.05, 0.75, 0.05):
        atoms.positions[1, 2] = factor * touching
        assert model.predict(atoms)["forces"][1, 2] > 1.0, f"{factor:.2f}"


@pytest.mark.filterwarnings("ignore::UserWarning")  # such structures are impossible, and named so
def test_molecules_that_are_shaken_hard_do_not_collapse(model: Model) -> None:
    shaken = [atoms.copy() for atoms in FRAMES if atoms.info["kind"] in ORDINARY]
    for seed, atoms in enumerate(shaken):
        atoms.rattle(0.3, seed=seed)
    assert min(shortest(atoms) for atoms in shaken) < 0.5  # Å
    assert min(shortest(done.atoms) for done in relax(model, shaken, fmax=0.05)) > 0.7


def shortest(atoms: Atoms) -> float:
    """The shortest distance between two atoms, Å."""
    return float(pdist(atoms.positions).min())


def fused() -> Atoms:
    atoms = molecule("C6H6")
    atoms.positions[0] = atoms.positions[1] + [0.0, 0.0, 0.2]
    return atoms


OUTSIDE = {
    "C60": lambda: molecule("C60"),
    "diamond": lambda: bulk("C"),
    "a cell of 1 Å": lambda: Atoms(molecule("H2O"), cell=[1.0, 1.0, 1.0], pbc=True),
    "fused atoms": fused,
}


@pytest.mark.filterwarnings("ignore:.*Å:UserWarning")  # impossible, and named so
@pytest.mark.parametrize("name", OUTSIDE)
def test_what_it_cannot_know_is_outside_of_its_domain(model: Model, name: str) -> None:
    with pytest.warns(OutsideDomainWarning):
        assert model.predict(OUTSIDE[name]())["domain_distance"] > 1


def test_ordinary_molecules_are_inside_of_its_domain(model: Model) -> None:
    frames = [atoms for atoms in FRAMES if atoms.info["kind"] in ORDINARY]
    distances = [frame["domain_distance"] for frame in model.predict(frames)]
    assert np.mean(np.array(distances) <= 1) > 0.9


def test_a_molecule_stays_whole_at_300_kelvin(model: Model) -> None:
    start = max((a for a in FRAMES if a.info["kind"] == "md300"), key=len)
    distances = start.get_all_distances()
    radii = covalent_radii[start.numbers]
    bonded = (distances < 1.25 * (radii[:, None] + radii)) & ~np.eye(len(start), dtype=bool)
    run = Dynamics(model, [start], "langevin", 300.0, steps=1000, timestep=0.5)
    for step in range(1, 1001):
        run.step()
        if step % 20 == 0:
            atoms = run.atoms(0)
            assert (atoms.get_all_distances()[bonded] < 1.5 * distances[bonded]).all()
            assert atoms.get_temperature() < 1000.0
