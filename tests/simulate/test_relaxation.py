"""Relaxation of many structures at once, against ASE's one by one."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms, FixBondLengths
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from molnet.models import Model
from molnet.simulate.relaxation import Relaxed, relax

MakeModel = Callable[..., Model]


def clusters(number: int = 8) -> list[Atoms]:
    """Pieces of a crystal of 2 to 9 atoms, rattled."""
    crystal = bulk("Cu", "fcc", a=3.5, cubic=True) * (2, 2, 2)
    crystal.pbc = False
    structures = []
    for seed in range(number):
        nearest = np.argsort(np.linalg.norm(crystal.positions - crystal.positions[seed], axis=1))
        atoms = crystal[nearest[: 2 + seed % 8]]
        atoms.cell = None
        atoms.rattle(0.1, seed=seed)
        structures.append(atoms)
    return structures


def in_order(relaxed: list[Relaxed]) -> list[Relaxed]:
    ordered = sorted(relaxed, key=lambda one: one.place)
    assert [one.place for one in ordered] == list(range(len(ordered)))
    return ordered


def test_clusters_end_in_minima_of_the_energy(
    make_model: MakeModel, reference: LennardJones
) -> None:
    structures = clusters()
    before = [atoms.positions.copy() for atoms in structures]
    relaxed = in_order(list(relax(make_model(), structures, fmax=1e-4)))
    for one, given, positions in zip(relaxed, structures, before, strict=True):
        assert one.converged
        assert one.force < 1e-4
        assert one.fault is None
        np.testing.assert_array_equal(given.positions, positions)
        atoms = one.atoms.copy()
        atoms.calc = reference
        assert one.atoms.get_potential_energy() == pytest.approx(
            atoms.get_potential_energy(), abs=1e-9
        )
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() == pytest.approx(
            one.force, rel=1e-4
        )
        by_ase = given.copy()
        by_ase.calc = reference
        start = by_ase.get_potential_energy()
        BFGS(by_ase, logfile=None).run(fmax=1e-4, steps=300)
        # Not always the same minimum; but always one that lies far below the start.
        gain, gain_by_ase = (start - end.get_potential_energy() for end in (one.atoms, by_ase))
        assert gain > 0.8 * gain_by_ase


def test_the_batch_changes_no_result(make_model: MakeModel) -> None:
    together = in_order(list(relax(make_model(), clusters(16), fmax=1e-3)))
    streamed = in_order(list(relax(make_model(), clusters(16), fmax=1e-3, max_atoms=12)))
    alone = in_order(list(relax(make_model(), clusters(16), fmax=1e-3, max_atoms=1)))
    for first, *others in zip(together, streamed, alone, strict=True):
        for other in others:
            assert first.steps == other.steps
            np.testing.assert_allclose(first.atoms.positions, other.atoms.positions, atol=1e-8)


@pytest.mark.parametrize("pressure", [0.0, 10.0])
def test_crystals_end_as_with_the_filter_of_ase(
    make_model: MakeModel, reference: LennardJones, pressure: float
) -> None:
    structures = [bulk("Cu", "fcc", a=3.5), bulk("Cu", "fcc", a=3.3, cubic=True)]
    for seed, atoms in enumerate(structures):
        strain = np.eye(3) + 0.02 * np.random.default_rng(seed).standard_normal((3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.rattle(0.03, seed=seed)
    relaxed = in_order(
        list(relax(make_model(), structures, fmax=1e-4, smax=1e-3, cell="full", pressure=pressure))
    )
    for one, atoms in zip(relaxed, structures, strict=True):
        assert one.converged
        atoms.calc = reference
        moving = FrechetCellFilter(atoms, scalar_pressure=pressure * units.GPa)
        BFGS(moving, logfile=None).run(fmax=1e-4, steps=300)
        assert one.atoms.get_volume() == pytest.approx(atoms.get_volume(), rel=1e-4)
        np.testing.assert_allclose(
            one.atoms.get_stress()[:3], -pressure * units.GPa, atol=2e-3 * units.GPa
        )
        np.testing.assert_allclose(one.atoms.cell.cellpar(), atoms.cell.cellpar(), rtol=1e-3)


def test_constraints_are_kept(make_model: MakeModel) -> None:
    slab = fcc111("Cu", (2, 2, 3), a=3.5, vacuum=6.0)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > 1))
    slab.rattle(0.05, seed=1)
    fixed = slab.positions.copy()
    dimer = Atoms("Cu3", [[0, 0, 0], [2.8, 0, 0], [0, 2.3, 0]])
    dimer.set_constraint(FixBondLengths([[0, 1]]))
    relaxed = in_order(list(relax(make_model(), [slab, dimer], fmax=1e-3)))
    assert all(one.converged for one in relaxed)
    below = slab.get_tags() > 1
    np.testing.assert_array_equal(relaxed[0].atoms.positions[below], fixed[below])
    assert np.abs(relaxed[0].atoms.positions - fixed)[~below].max() > 0.05
    assert relaxed[1].atoms.get_distance(0, 1) == pytest.approx(2.8, abs=1e-6)
    assert relaxed[1].atoms.get_distance(0, 2) < 2.6
    assert relaxed[0].atoms.constraints, "and are in the result"


def test_a_fault_concerns_one_structure(make_model: MakeModel) -> None:
    together = molecule("CH4")
    together.positions[1] = together.positions[0]
    charged = clusters(1)[0]
    charged.info["charge"] = 1000
    structures = [clusters(1)[0], together, molecule("SiH4"), charged, Atoms(), clusters(3)[2]]
    relaxed = in_order(list(relax(make_model(), structures)))
    assert [one.converged for one in relaxed] == [True, False, False, False, False, True]
    for place, words in [(1, "same place"), (2, "holds Si"), (3, "1000"), (4, "no atoms")]:
        assert words in str(relaxed[place].fault)
        assert relaxed[place].atoms is structures[place]


def test_steps_are_limited(make_model: MakeModel) -> None:
    (one,) = relax(make_model(), clusters(1), fmax=1e-9, steps=3)
    assert (one.converged, one.steps) == (False, 3)
    (none,) = relax(make_model(), clusters(1), fmax=1e-9, steps=0)
    np.testing.assert_array_equal(none.atoms.positions, clusters(1)[0].positions)
    assert list(relax(make_model(), [])) == []


@pytest.mark.parametrize("setting", [{"fmax": 0}, {"smax": -1}, {"steps": -1}, {"max_atoms": 0}])
def test_impossible_settings_are_refused(make_model: MakeModel, setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected fmax > 0"):
        list(relax(make_model(), [], **setting))  # type: ignore[arg-type]


def test_a_model_without_forces_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ValueError, match="predicts no energy with forces, only homo"):
        list(relax(make_model("homo"), clusters(1)))
