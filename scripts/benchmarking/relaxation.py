"""Relaxation of rattled molecules: all at once, and one by one with ASE's BFGS."""

import time
import warnings
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.optimize import BFGS

from benchmarking.timing import aligned
from molnet import Calculator
from molnet.models import Model, load_model
from molnet.simulate.changes import bond_changes
from molnet.simulate.relaxation import Relaxed, relax

STEPS = 500
TURNS = 4
"""The two sides take turns; ASE relaxes a part of the molecules in each, molnet all."""
BOND = 1.25
"""In sums of covalent radii: pairs of atoms that are closer are bonded."""


class Relaxations(NamedTuple):
    """Both sides for the same molecules, with the same model and the same limit of the forces."""

    molecules: int
    seconds: float  # molnet, all at once
    seconds_of_ase: float
    steps: float  # mean
    steps_of_ase: float
    unconverged: int
    unconverged_of_ase: int
    same_minimum: int
    """Molecules whose energies differ by less than 1 meV."""
    difference: float
    """meV, the median of the differences of all energies, without signs."""
    bonds: float | None
    """Å, the mean difference of bond lengths from those that GFN2-xTB relaxes to, without signs."""

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return self._asdict()

    def __str__(self) -> str:
        ratio = self.seconds_of_ase / self.seconds
        rows = [
            ("", "molecules/s", "steps", "not converged"),
            ("molnet, all at once", *_row(self, self.seconds, self.steps, self.unconverged)),
            (
                "ASE's BFGS, one by one",
                *_row(self, self.seconds_of_ase, self.steps_of_ase, self.unconverged_of_ase),
            ),
        ]
        lines = [
            aligned(rows),
            f"ratio {ratio:.1f}",
            f"energies within 1 meV: {self.same_minimum} of {self.molecules}, "
            f"median difference {self.difference:.3f} meV",
        ]
        if self.bonds is not None:
            lines.append(f"bond lengths against GFN2-xTB: mean difference {self.bonds:.4f} Å")
        return "\n".join(lines)


def _row(result: Relaxations, seconds: float, steps: float, unconverged: int) -> tuple[str, ...]:
    return f"{result.molecules / seconds:.2f}", f"{steps:.0f}", str(unconverged)


def relaxations(
    given: Sequence[Atoms], name: str, rattle: float, fmax: float, with_xtb: int = 0
) -> Relaxations:
    """Relaxes molecules in both ways, in alternation.

    Args:
        given: the molecules before they are rattled.
        name: of the model.
        rattle: Å, the spread of the displacements.
        fmax: eV/Å.
        with_xtb: how many molecules are relaxed with GFN2-xTB too, for their bond lengths.
    """
    structures, number = [atoms.copy() for atoms in given], len(given)
    for seed, atoms in enumerate(structures):
        atoms.rattle(rattle, seed=seed)
    model = load_model(name)
    calculator = Calculator(model)
    together: list[float] = []
    one_by_one = 0.0
    by_ase: list[tuple[float, int, bool]] = []
    relaxed: list[Relaxed] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of structures that a model does not know
        for first, last in pairwise(number * turn // TURNS for turn in range(TURNS + 1)):
            started = time.perf_counter()
            relaxed = _all_at_once(model, structures, fmax)
            together.append(time.perf_counter() - started)
            started = time.perf_counter()
            by_ase += [_by_ase(calculator, atoms, fmax) for atoms in structures[first:last]]
            one_by_one += time.perf_counter() - started
    energies = [np.nan if one.fault else one.atoms.get_potential_energy() for one in relaxed]
    differences = 1e3 * np.abs(np.subtract(energies, [energy for energy, *_ in by_ase]))
    chosen = [one for one in relaxed if one.converged][:with_xtb]
    return Relaxations(
        number,
        median(together),
        one_by_one,
        mean(one.steps for one in relaxed),
        mean(steps for _, steps, _ in by_ase),
        sum(not one.converged for one in relaxed),
        sum(not converged for *_, converged in by_ase),
        int((differences < 1).sum()),
        float(np.nanmedian(differences)),
        _bond_error([one.atoms for one in chosen], fmax) if chosen else None,
    )


def _all_at_once(model: Model, structures: Sequence[Atoms], fmax: float) -> list[Relaxed]:
    results = relax(model, structures, fmax=fmax, steps=STEPS)
    return sorted(results, key=lambda one: one.place)


def _by_ase(calculator: Calculator, given: Atoms, fmax: float) -> tuple[float, int, bool]:
    atoms = given.copy()
    atoms.calc = calculator
    optimiser = BFGS(atoms, logfile=None)
    try:
        converged = bool(optimiser.run(fmax=fmax, steps=STEPS))
        return atoms.get_potential_energy(), optimiser.nsteps, converged
    except ValueError:  # the model has led atoms into one place
        return np.nan, optimiser.nsteps, False


def _bond_error(relaxed: Sequence[Atoms], fmax: float) -> float:
    """Mean difference of the lengths of bonds, of molecules that xTB leaves with the same bonds."""
    from ase.neighborlist import natural_cutoffs, neighbor_list
    from tblite.ase import TBLite

    errors: list[np.ndarray[Any, Any]] = []
    for atoms in relaxed:
        other = atoms.copy()
        other.calc = TBLite(method="GFN2-xTB", verbosity=0)
        try:
            if not BFGS(other, logfile=None).run(fmax=fmax, steps=STEPS):
                continue
        except CalculationFailed:
            continue
        if bond_changes(atoms, other):
            continue
        i, j = neighbor_list("ij", other, natural_cutoffs(other, mult=BOND))
        lengths = [
            np.linalg.norm(one.positions[i] - one.positions[j], axis=1) for one in (atoms, other)
        ]
        errors.append(np.abs(lengths[0] - lengths[1]))
    return float(np.concatenate(errors).mean())
