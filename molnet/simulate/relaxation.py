"""Relaxation of many structures at once: one evaluation of the model per step for all of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from molnet.graph import StructureError
from molnet.models import FrozenModel, Model, PredictionError
from molnet.simulate.coordinates import CellMotion, Coordinates
from molnet.simulate.lbfgs import LBFGS
from molnet.simulate.many import Evaluation, Many, Potential

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Relaxed:
    """One structure after its relaxation.

    Attributes:
        place: of the structure among those that were given.
        atoms: relaxed, with energy, forces and stress; as given if ``fault`` is set.
        converged: whether all forces, and the stress, are below their limits.
        steps: how many steps were taken.
        force: the largest force on an atom, in eV/Å.
        stress: the largest component of the stress that would still move the cell, in GPa.
        fault: why the structure could not be relaxed; None if it could.
        energies: eV, of each evaluation (enthalpies, for cells that move). A step that raised it
            was taken back.
        forces: eV/Å, likewise the largest force on an atom.
        frames: likewise the structures, if they were asked for.
    """

    place: int
    atoms: Atoms
    converged: bool
    steps: int
    force: float
    stress: float
    fault: str | None = None
    energies: list[float] = field(default_factory=list)
    forces: list[float] = field(default_factory=list)
    frames: list[Atoms] = field(default_factory=list)


def relax(
    model: Model | FrozenModel,
    structures: Iterable[Atoms],
    *,
    fmax: float = 0.01,
    smax: float = 0.1,
    steps: int = 500,
    cell: CellMotion = "fixed",
    pressure: float = 0.0,
    max_atoms: int = 4000,
    frames: bool = False,
) -> Iterator[Relaxed]:
    """Relaxes structures to minima of the energy, or of the enthalpy E + p V, by L-BFGS.

    As structures finish, others take their places in the batch. ASE's constraints are kept.

    Args:
        model: with an energy and forces; float64 for limits below about 1 meV/Å.
        structures: any number of them, taken in one after the other; not changed.
        fmax: largest force on an atom at which a structure is relaxed, in eV/Å.
        smax: likewise of the stress, in GPa; for cells that move.
        steps: most steps for one structure.
        cell: ``fixed``; ``volume``: the volume is kept; ``hydrostatic``: the shape is kept;
            ``full``: neither.
        pressure: p in GPa, for cells that move.
        max_atoms: most atoms that are evaluated at once; a larger structure is a batch of its own.
        frames: keep the structures of all steps.

    Yields:
        Each structure as it finishes, which is not in the order in which they were given.

    Raises:
        ValueError: a setting that is not possible, or a model without forces.
    """
    if fmax <= 0 or smax <= 0 or steps < 0 or max_atoms < 1:
        raise ValueError(
            f"expected fmax > 0, smax > 0, steps >= 0 and max_atoms >= 1, received {fmax}, {smax}, "
            f"{steps} and {max_atoms}"
        )
    frozen = FrozenModel.of(model)
    batch = _Batch(frozen, cell, pressure * units.GPa, frames)
    waiting = enumerate(structures)
    newcomer = next(waiting, None)
    while newcomer is not None or batch.members:
        newcomers: list[tuple[int, Atoms]] = []
        room = max_atoms - batch.atoms
        # Each change of the batch costs a search for neighbours: take in several at once.
        if room > max_atoms / 4 or not batch.members:
            while newcomer is not None and (len(newcomer[1]) <= room or room == max_atoms):
                newcomers.append(newcomer)
                room -= len(newcomer[1])
                newcomer = next(waiting, None)
        yield from batch.change(newcomers)
        if batch.members:
            yield from batch.step(fmax, smax * units.GPa, steps)


@dataclass
class _Member:
    place: int
    atoms: Atoms
    steps: int = 0
    energies: list[float] = field(default_factory=list)
    forces: list[float] = field(default_factory=list)
    frames: list[Atoms] = field(default_factory=list)


class _Batch:
    """The structures that are relaxed at present.

    Those that have finished stay in the arrays, without moving, until :meth:`change`.
    """

    def __init__(self, model: FrozenModel, cell: CellMotion, pressure: float, frames: bool) -> None:
        self.model, self.cell, self.pressure, self.frames = model, cell, pressure, frames
        self.members: list[_Member] = []
        self._finished = np.zeros(0, dtype=bool)
        self._faulty = False
        self._optimiser = LBFGS(np.zeros(0, dtype=np.int64), [])
        self._rows = np.zeros((0, 3))

    @property
    def atoms(self) -> int:
        """Atoms of the structures that have not finished."""
        pairs = zip(self.members, self._finished, strict=True)
        return sum(len(member.atoms) for member, finished in pairs if not finished)

    def change(self, newcomers: list[tuple[int, Atoms]]) -> Iterator[Relaxed]:
        """Takes structures in and leaves finished ones out, if it is worth a new search."""
        evaluated = sum(len(member.atoms) for member in self.members)
        if not newcomers and not self._faulty and self.atoms > 0.9 * evaluated:
            return
        self._faulty = False
        keep = ~self._finished
        self._rows = self._rows[np.repeat(keep, self._optimiser.counts)]
        self._optimiser.keep(keep)
        self.members = [self.members[i] for i in np.flatnonzero(keep)]
        while newcomers:
            structures = [atoms for _, atoms in newcomers]
            try:
                new = self._coordinates(structures)
                solvers = new.solvers()
            except StructureError as error:
                yield _failed(_Member(*newcomers.pop(error.index)), error)
                continue
            self.members += [_Member(*newcomer) for newcomer in newcomers]
            self._optimiser.add(new.rows, solvers)
            self._rows = np.concatenate([self._rows, new.start()])
            break
        self._finished = np.zeros(len(self.members), dtype=bool)
        if not self.members:
            return
        self._moving = self._coordinates([member.atoms for member in self.members])
        self._potential = Potential(self.model, self._moving.many)

    def step(self, fmax: float, smax: float, steps: int) -> Iterator[Relaxed]:
        """One evaluation and one step of all structures; those that have finished.

        Args:
            fmax: eV/Å.
            smax: eV/Å³.
            steps: most steps of one structure.
        """
        try:
            evaluation = self._potential(*self._moving.structures(self._rows))
        except (StructureError, PredictionError) as error:
            yield _failed(self.members[error.index], error)
            self._finished[error.index] = True
            self._faulty = True  # its atoms cannot even be evaluated at rest
            return
        energies, downhill, force, stress = self._moving.forces(self._rows, evaluation)
        self._record(energies, force)
        converged = (force < fmax) & (stress < smax)
        spent = np.array([member.steps >= steps for member in self.members])
        for place in np.flatnonzero((converged | spent) & ~self._finished):
            atoms = self._with_results(int(place), evaluation)
            member = self.members[place]
            yield Relaxed(
                member.place,
                atoms,
                bool(converged[place]),
                member.steps,
                float(force[place]),
                float(stress[place] / units.GPa),
                None,
                member.energies,
                member.forces,
                member.frames,
            )
        self._finished |= converged | spent
        proposed = self._optimiser.step(self._rows, energies, downhill)
        proposed = self._moving.allowed(self._rows, proposed)
        rests = np.repeat(self._finished, self._moving.rows)
        self._rows = np.where(rests[:, None], self._rows, proposed)
        for member in self.members:
            member.steps += 1

    def _record(self, energies: Array, forces: Array) -> None:
        for place, member in enumerate(self.members):
            if not self._finished[place]:
                member.energies.append(float(energies[place]))
                member.forces.append(float(forces[place]))
                if self.frames:
                    member.frames.append(self._at_present(place))

    def _coordinates(self, structures: list[Atoms]) -> Coordinates:
        return Coordinates(Many(structures), self.cell, self.pressure)

    def _at_present(self, place: int) -> Atoms:
        positions, cells = self._moving.structures(self._rows)
        atoms = self.members[place].atoms.copy()
        atoms.set_cell(cells[place])
        atoms.positions = positions[self._moving.many.atoms_of(place)]
        return atoms

    def _with_results(self, place: int, evaluation: Evaluation) -> Atoms:
        atoms = self._at_present(place)
        evaluation.attach(atoms, place, self._moving.many.atoms_of(place))
        return atoms


def _failed(member: _Member, error: Exception) -> Relaxed:
    # What is wrong after some steps is not the user's input, but where the model has led it.
    fault = f"after {member.steps} steps: {error}" if member.steps else str(error)
    return Relaxed(member.place, member.atoms, False, member.steps, np.nan, np.nan, fault)
