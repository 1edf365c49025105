"""Vibrations of molecules: the exact Hessian beside finite differences, and beside GFN2-xTB's."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from numpy.typing import NDArray

from molnet.models import FrozenModel, load_model
from molnet.simulate.changes import bond_changes
from molnet.simulate.relaxation import relax
from molnet.simulate.vibrations import normal_modes, vibrations

Array = NDArray[np.float64]

FMAX = 1e-3
"""eV/Å, at which both sides count as relaxed."""
STEP = 1e-5
"""Å, of finite differences of the model, in float64: the third derivatives of its splines jump,
which costs finite differences one order."""
STEP_OF_XTB = 5e-3
"""Å, where forces are known to about 1e-6 eV/Å."""


class Frequencies(NamedTuple):
    """What was found for all molecules together."""

    molecules: int
    modes: int
    hessian: float
    """eV/Å², the largest difference of the exact Hessian from finite differences."""
    with_xtb: int
    """Molecules that were compared with xTB: those that both leave with the same bonds."""
    mean: float | None
    """cm⁻¹, the mean difference of the frequencies from xTB's, without signs."""
    largest: float | None

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return self._asdict()

    def __str__(self) -> str:
        lines = [
            f"{self.molecules} molecules, {self.modes} modes",
            f"exact Hessian against finite differences: at most {self.hessian:.1e} eV/Å²",
        ]
        if self.mean is not None:
            lines.append(
                f"frequencies of {self.with_xtb} against GFN2-xTB's own: mean difference "
                f"{self.mean:.1f} cm⁻¹, largest {self.largest:.0f} cm⁻¹"
            )
        return "\n".join(lines)


def frequencies(given: Sequence[Atoms], name: str, with_xtb: int = 0) -> Frequencies:
    """Relaxes molecules and finds their vibrations, in both ways each.

    Args:
        given: the molecules.
        name: of the model, which is used in float64.
        with_xtb: how many molecules are relaxed, and vibrate, with GFN2-xTB too.
    """
    model = load_model(name, dtype="float64")
    frozen = FrozenModel(model)
    exact: list[float] = []
    modes = 0
    differences: list[Array] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of structures that a model does not know
        relaxed = sorted(relax(model, given, fmax=FMAX, steps=2000), key=lambda one: one.place)
        for one in relaxed:
            found = vibrations(frozen, one.atoms)
            modes += len(found.frequencies)
            numeric = by_differences(lambda many: _forces(frozen, many), one.atoms, STEP)
            exact.append(float(np.abs(found.hessian - numeric).max()))
            if one.place < with_xtb:
                differences += _differences(found.frequencies, one.atoms)
    return Frequencies(
        len(relaxed),
        modes,
        max(exact),
        len(differences),
        float(np.concatenate(differences).mean()) if differences else None,
        float(np.concatenate(differences).max()) if differences else None,
    )


def by_differences(forces: Callable[[list[Atoms]], Array], atoms: Atoms, step: float) -> Array:
    """The Hessian by central differences, [N, 3, N, 3] in eV/Å².

    Args:
        forces: of many structures, [S, N, 3].
        atoms: the structure.
        step: Å.
    """
    moved = []
    for sign in (1, -1):
        for atom in range(len(atoms)):
            for axis in range(3):
                moved.append(atoms.copy())
                moved[-1].positions[atom, axis] += sign * step
    forward, backward = np.split(forces(moved), 2)
    rows = (backward - forward).reshape(3 * len(atoms), 3 * len(atoms)) / (2 * step)
    return ((rows + rows.T) / 2).reshape(len(atoms), 3, len(atoms), 3)


def _forces(model: FrozenModel, structures: list[Atoms]) -> Array:
    return np.stack([prediction["forces"] for prediction in model.predict(structures)])


def _differences(found: Array, relaxed: Atoms) -> list[Array]:
    """One array with the differences from xTB's frequencies; none if xTB changes the bonds."""
    from tblite.ase import TBLite

    calculator = TBLite(method="GFN2-xTB", verbosity=0)
    atoms = relaxed.copy()
    atoms.calc = calculator
    if not BFGS(atoms, logfile=None).run(fmax=FMAX, steps=500) or bond_changes(relaxed, atoms):
        return []

    def forces(many: list[Atoms]) -> Array:
        return np.stack([calculator.get_forces(one) for one in many])

    expected, _ = normal_modes(by_differences(forces, atoms, STEP_OF_XTB), atoms)
    return [np.abs(found - expected)]
