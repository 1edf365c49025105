"""Molecular dynamics of many structures at once, which goes on after an interruption as if without.

A structure that explodes, or leaves what can be evaluated, ends; the others go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from molnet.graph import StructureError
from molnet.models import FrozenModel, Model, PredictionError
from molnet.simulate.integrators import Ensemble, Integrator, State
from molnet.simulate.many import Evaluation, Many, Potential

Array = NDArray[np.float64]

EXPLODED = 20.0
"""A structure has exploded when its temperature is this many times the highest one aimed at, ..."""

EXPLODED_ABOVE = 5000.0
"""... and above this many K."""


@dataclass(frozen=True)
class Ended:
    """Why the dynamics of one structure ended before the last step."""

    place: int
    step: int
    reason: str


class Dynamics:
    """Trajectories of G structures, step by step.

    Args:
        model: with an energy and forces; with stress for ``ensemble="npt"``.
        structures: with their constraints; momenta are theirs, or drawn at the first temperature.
            Motion and rotation of the whole are taken out for ``bussi`` and ``npt``.
        ensemble: ``nve``; ``langevin`` (BAOAB); ``bussi`` (stochastic velocity rescaling); ``npt``
            (the same with stochastic rescaling of the cell).
        temperatures: K, at equal distances in time from the first step to the last; linear between.
            One number: constant.
        steps: of the whole run.
        options: of :class:`~molnet.simulate.integrators.Integrator`: ``timestep`` and others.

    Attributes:
        done: steps so far.
        running: [G'], the places of the structures that have not ended.
        ended: the others.

    Raises:
        ValueError: settings that are not possible.
        StructureError: a structure that cannot be evaluated; ``index`` is its place.
    """

    def __init__(
        self,
        model: Model,
        structures: Sequence[Atoms],
        ensemble: Ensemble = "langevin",
        temperatures: Sequence[float] | float = 300.0,
        *,
        steps: int,
        **options: Any,
    ) -> None:
        self.temperatures = np.atleast_1d(np.asarray(temperatures, dtype=np.float64))
        if not (np.isfinite(self.temperatures).all() and (self.temperatures >= 0).all()):
            raise ValueError(f"expected temperatures >= 0 K, received {temperatures}")
        if steps < 1:
            raise ValueError(f"expected steps >= 1, received {steps}")
        self.structures, self.steps, self.done = list(structures), steps, 0
        self._model, self._options = FrozenModel(model), {"ensemble": ensemble, **options}
        self.running = np.arange(len(self.structures))
        self.ended: list[Ended] = []
        self._bind()
        if ensemble == "npt" and not self.integrator.many.pbc.all():
            place = int(np.flatnonzero(~self.integrator.many.pbc.all(axis=1))[0])
            raise StructureError(
                "ensemble=npt needs a cell that is periodic in three directions. Take bussi or "
                "langevin.",
                place,
            )
        many = self.integrator.many
        momenta = self.integrator.thermal_momenta(many.positions, float(self.temperatures[0]))
        for place, atoms in enumerate(self.structures):
            if atoms.has("momenta"):
                momenta[many.atoms_of(place)] = atoms.get_momenta()
        if ensemble in ("bussi", "npt"):  # which scale all motion, and count none of the whole
            momenta = self.integrator.at_rest(many.positions, momenta)
        evaluation = self._potential(many.positions, many.cells)
        self.state = State(many.positions.copy(), momenta, many.cells.copy(), evaluation)

    @property
    def time(self) -> float:
        """So far, in fs."""
        return self.done * self.integrator.timestep / units.fs

    @property
    def temperature(self) -> float:
        """K, that the thermostat aims at now."""
        fractions = np.linspace(0.0, 1.0, len(self.temperatures))
        return float(np.interp(self.done / self.steps, fractions, self.temperatures))

    def step(self) -> None:
        """One step of all structures that run."""
        while len(self.running):
            before = self.integrator.random_states()
            try:
                state = self.integrator.step(self.state, self._potential, self.temperature)
            except (StructureError, PredictionError) as error:
                self.integrator.set_random_states(before)
                self._end({error.index: str(error)})
                continue
            self.done += 1
            self.state = state
            self._end(self._exploded())
            return

    def end(self, place: int, reason: str) -> None:
        """Ends the dynamics of one structure that runs."""
        self._end({int(np.flatnonzero(self.running == place)[0]): reason})

    def distances(self) -> Array | None:
        """[G'], of the running structures, see :meth:`Potential.distances`."""
        if not len(self.running):
            return np.empty(0)
        return self._potential.distances(self.state.positions, self.state.cells)

    def atoms(self, place: int) -> Atoms:
        """A structure that runs, as it is now, with momenta, energy, forces and stress.

        Args:
            place: among the structures that were given.
        """
        row = int(np.flatnonzero(self.running == place)[0])
        part = self.integrator.many.atoms_of(row)
        atoms = self.structures[place].copy()
        atoms.set_constraint()
        atoms.set_cell(self.state.cells[row])
        atoms.positions = self.state.positions[part]
        atoms.set_momenta(self.state.momenta[part])
        atoms.set_constraint(self.structures[place].constraints)
        self.state.evaluation.attach(atoms, row, part)
        return atoms

    def saved(self) -> dict[str, Any]:
        """All that is needed to go on: arrays, and plain values that JSON can hold."""
        return {
            "positions": self.state.positions,
            "momenta": self.state.momenta,
            "cells": self.state.cells,
            "energies": self.state.evaluation.energies,
            "forces": self.state.evaluation.forces,
            "stresses": self.state.evaluation.stresses,
            "running": self.running,
            "done": self.done,
            "ended": [(end.place, end.step, end.reason) for end in self.ended],
            "random": self.integrator.random_states(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`saved` returned, in dynamics that were made as then."""
        self.done = int(saved["done"])
        self.ended = [Ended(*end) for end in saved["ended"]]
        self.running = saved["running"]
        if len(self.running):
            self._bind()
            self.integrator.set_random_states(saved["random"])
        evaluation = Evaluation(saved["energies"], saved["forces"], saved["stresses"])
        self.state = State(saved["positions"], saved["momenta"], saved["cells"], evaluation)

    def _bind(self) -> None:
        many = Many([self.structures[place] for place in self.running])
        self.integrator = Integrator(many, **self._options)
        self._potential = Potential(self._model, many)

    def _exploded(self) -> dict[int, str]:
        """Rows of the structures that have exploded, and why."""
        limit = max(EXPLODED * self.temperatures.max(), EXPLODED_ABOVE)
        found = self.integrator.temperatures(self.state.momenta)
        return {
            int(row): f"exploded: its temperature is {found[row]:.0f} K"
            for row in np.flatnonzero(~(found < limit))
        }

    def _end(self, reasons: Mapping[int, str]) -> None:
        """Leaves structures out, by their rows in the present arrays."""
        if not reasons:
            return
        many, state = self.integrator.many, self.state
        for row, reason in reasons.items():
            self.ended.append(Ended(int(self.running[row]), self.done, reason))
        keep = ~np.isin(np.arange(len(many)), list(reasons))
        atoms = np.repeat(keep, many.counts)
        random = self.integrator.random_states()
        self.running = self.running[keep]
        if not len(self.running):
            return
        self._bind()
        self.integrator.set_random_states([random[row] for row in np.flatnonzero(keep)])
        energies, forces, stresses = state.evaluation
        self.state = State(
            state.positions[atoms],
            state.momenta[atoms],
            state.cells[keep],
            Evaluation(energies[keep], forces[atoms], None if stresses is None else stresses[keep]),
        )
