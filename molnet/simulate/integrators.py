"""Integrators of the equations of motion, for many structures at once.

Inside, time is in ASE's unit Å √(amu/eV), 10.18 fs.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from ase import units
from numpy.typing import NDArray

from molnet.simulate.constraints import Constraints
from molnet.simulate.many import Evaluation, Many

Array = NDArray[np.float64]
Evaluate = Callable[[Array, Array], Evaluation]
Ensemble = Literal["nve", "langevin", "bussi", "npt"]


@dataclass
class State:
    """G structures with N atoms, at one time.

    Attributes:
        positions: [N, 3], Å.
        momenta: [N, 3], amu Å over ASE's unit of time.
        cells: [G, 3, 3], Å.
        evaluation: of the positions and cells.
    """

    positions: Array
    momenta: Array
    cells: Array
    evaluation: Evaluation


class Step(Protocol):
    """One step of dynamics."""

    def __call__(self, state: State, evaluate: Evaluate, temperature: float) -> State:
        """The state one time step later; ``temperature`` in K."""


class Integrator:
    """Steps of dynamics, with the masses, constraints and random numbers that they need.

    Every structure has its own random numbers, so that its trajectory does not depend on the other
    structures of the batch.

    Args:
        many: the structures.
        ensemble: ``nve``; ``langevin``; ``bussi``; ``npt``.
        timestep: fs.
        thermostat_time: fs, over which a thermostat acts.
        pressure: GPa, of ``npt``.
        barostat_time: fs, over which the barostat acts on a material of the given compressibility.
        compressibility: 1/GPa, of ``npt``; by default that of water. A wrong one changes how fast
            the volume relaxes and not where to; but a hard crystal (0.01) with that of water
            relaxes 45 times too fast.
        seed: of the random numbers.
    """

    def __init__(
        self,
        many: Many,
        ensemble: Ensemble = "nve",
        *,
        timestep: float = 0.5,
        thermostat_time: float = 100.0,
        pressure: float = 0.0,
        barostat_time: float = 1000.0,
        compressibility: float = 0.457,
        seed: int = 0,
    ) -> None:
        if ensemble not in get_args(Ensemble):
            raise ValueError(
                f"expected ensemble={'|'.join(get_args(Ensemble))}, received {ensemble!r}"
            )
        for name, value in (
            ("timestep", timestep),
            ("thermostat_time", thermostat_time),
            ("barostat_time", barostat_time),
            ("compressibility", compressibility),
        ):
            if not 0 < value < np.inf:
                unit = "1/GPa" if name == "compressibility" else "fs"
                raise ValueError(f"expected {name} > 0 {unit}, received {value}")
        if pressure and ensemble != "npt":
            raise ValueError(
                f"pressure={pressure:g} needs ensemble=npt, received ensemble={ensemble}, which "
                "keeps the cell as it is"
            )
        self.many, self.ensemble = many, ensemble
        self.constraints = Constraints(many)
        self.timestep = timestep * units.fs
        self.thermostat_time = thermostat_time * units.fs
        self.barostat_time = barostat_time * units.fs
        self.pressure, self.compressibility = pressure * units.GPa, compressibility / units.GPa
        self.masses = np.concatenate([atoms.get_masses() for atoms in many.structures])[:, None]
        self.generators = [np.random.default_rng([seed, place]) for place in range(len(many))]
        self.degrees = self._degrees_of_freedom()
        self.step: Step = getattr(self, f"_{ensemble}")

    def _degrees_of_freedom(self) -> NDArray[np.int64]:
        """[G]. Langevin's noise moves and turns the whole; all else leaves it at rest."""
        degrees = 3 * self.many.counts - self.constraints.removed
        if self.ensemble != "langevin":
            for place in np.flatnonzero(self.constraints.removed == 0):
                degrees[place] -= 3
                if not self.many.pbc[place].any():
                    part = self.many.atoms_of(int(place))
                    inertia = _inertia(self.many.positions[part], self.masses[part])
                    degrees[place] -= np.linalg.matrix_rank(inertia, tol=1e-6, hermitian=True)
        return np.maximum(degrees, 1)

    def random_states(self) -> list[dict[str, Any]]:
        """The state of each structure's random numbers, as plain values."""
        return [copy.deepcopy(dict(one.bit_generator.state)) for one in self.generators]

    def set_random_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Goes on with random numbers from earlier :meth:`random_states`."""
        for generator, state in zip(self.generators, states, strict=True):
            generator.bit_generator.state = dict(state)

    def kinetic_energies(self, momenta: Array) -> Array:
        """[G], eV."""
        of_atoms = (momenta**2 / (2 * self.masses)).sum(axis=1)
        return np.asarray(np.add.reduceat(of_atoms, self.many.first))

    def temperatures(self, momenta: Array) -> Array:
        """[G], K: 2 K / (k f), with f degrees of freedom."""
        return 2 * self.kinetic_energies(momenta) / (units.kB * self.degrees)

    def pressures(self, state: State) -> Array:
        """[G], eV/Å³: 2 K / 3 V − tr σ / 3; NaN without a volume."""
        if state.evaluation.stresses is None:
            return np.full(len(self.many), np.nan)
        trace = np.trace(state.evaluation.stresses, axis1=1, axis2=2)
        kinetic = 2 * self.kinetic_energies(state.momenta) / (3 * _volumes(state.cells))
        return np.asarray(kinetic - trace / 3)

    def at_rest(self, positions: Array, momenta: Array) -> Array:
        """[N, 3], momenta without motion or rotation of each whole, as constraints allow them."""
        momenta = self.constraints.momenta(positions, momenta)
        for place in range(len(self.many)):
            if not self.constraints.removed[place]:
                part = self.many.atoms_of(place)
                turns = not self.many.pbc[place].any()
                momenta[part] = _at_rest(positions[part], momenta[part], self.masses[part], turns)
        return momenta

    def thermal_momenta(self, positions: Array, temperature: float) -> Array:
        """[N, 3], drawn at a temperature in K, without motion or rotation of each whole."""
        momenta = self._normal() * np.sqrt(self.masses * units.kB * temperature)
        momenta = self.at_rest(positions, momenta)
        found = self.temperatures(momenta)
        scale = np.sqrt(np.divide(temperature, found, where=found > 0, out=np.zeros_like(found)))
        return momenta * self._spread(scale)

    def _nve(self, state: State, evaluate: Evaluate, temperature: float) -> State:
        """Velocity Verlet."""
        momenta = self._kick(state, state.momenta)
        positions, momenta = self._drift(state.positions, momenta, self.timestep)
        return self._finish(positions, momenta, state.cells, evaluate)

    def _langevin(self, state: State, evaluate: Evaluate, temperature: float) -> State:
        """BAOAB: Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (2013)."""
        momenta = self._kick(state, state.momenta)
        positions, momenta = self._drift(state.positions, momenta, self.timestep / 2)
        kept = np.exp(-self.timestep / self.thermostat_time)
        noise = np.sqrt((1 - kept**2) * self.masses * units.kB * temperature)
        momenta = self.constraints.momenta(positions, kept * momenta + noise * self._normal())
        positions, momenta = self._drift(positions, momenta, self.timestep / 2)
        return self._finish(positions, momenta, state.cells, evaluate)

    def _bussi(self, state: State, evaluate: Evaluate, temperature: float) -> State:
        """Velocity Verlet; then velocities are rescaled so that K has its canonical distribution.

        Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101 (2007), equation A7.
        """
        state = self._nve(state, evaluate, temperature)
        kept = np.exp(-self.timestep / self.thermostat_time)
        kinetic = self.kinetic_energies(state.momenta)
        first = np.array([generator.standard_normal() for generator in self.generators])
        pairs = zip(self.generators, self.degrees, strict=True)
        others = np.array([2 * generator.standard_gamma((f - 1) / 2) for generator, f in pairs])
        share = units.kB * temperature / (2 * np.maximum(kinetic, 1e-12))  # kT / 2 over K
        squared = (
            kept
            + share * (1 - kept) * (first**2 + others)
            + 2 * first * np.sqrt(kept * (1 - kept) * share)
        )
        state.momenta = state.momenta * self._spread(np.sqrt(squared))
        return state

    def _npt(self, state: State, evaluate: Evaluate, temperature: float) -> State:
        """Bussi's thermostat, and stochastic rescaling of the cell, which keeps its shape.

        Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020), equation 5, for ε = ln V:
        dε = −(β/τ) (p₀ − p) dt + √(2 kT β / (V τ)) dW.
        """
        volumes = _volumes(state.cells)
        rate = self.compressibility / self.barostat_time * self.timestep
        noise = np.array([generator.standard_normal() for generator in self.generators])
        change = rate * (self.pressures(state) - self.pressure)
        change += np.sqrt(2 * units.kB * temperature * rate / volumes) * noise
        scale = np.exp(change / 3)
        positions = state.positions * self._spread(scale)
        state = State(
            positions,
            state.momenta / self._spread(scale),
            state.cells * scale[:, None, None],
            state.evaluation,
        )
        return self._bussi(state, evaluate, temperature)

    def _kick(self, state: State, momenta: Array) -> Array:
        forces = self.constraints.forces(state.positions, state.evaluation.forces)
        return momenta + self.timestep / 2 * forces

    def _drift(self, positions: Array, momenta: Array, time: float) -> tuple[Array, Array]:
        moved = self.constraints.positions(positions, positions + time * momenta / self.masses)
        if self.constraints.removed.any():  # constraints act on momenta too (RATTLE)
            momenta = self.masses * (moved - positions) / time
        return moved, momenta

    def _finish(self, positions: Array, momenta: Array, cells: Array, evaluate: Evaluate) -> State:
        state = State(positions, momenta, cells, evaluate(positions, cells))
        state.momenta = self.constraints.momenta(positions, self._kick(state, momenta))
        return state

    def _normal(self) -> Array:
        """[N, 3] normal numbers, from each structure's own stream."""
        pairs = zip(self.generators, self.many.counts, strict=True)
        return np.concatenate([generator.standard_normal((n, 3)) for generator, n in pairs])

    def _spread(self, values: Array) -> Array:
        return np.repeat(values, self.many.counts)[:, None]


def _volumes(cells: Array) -> Array:
    return np.abs(np.linalg.det(cells))


def _at_rest(positions: Array, momenta: Array, masses: Array, turns: bool) -> Array:
    """Momenta without motion of the centre of mass and, for molecules, without rotation."""
    momenta = momenta - masses * momenta.sum(axis=0) / masses.sum()
    if not turns or len(positions) < 2:
        return momenta
    from_centre = _from_centre(positions, masses)
    angular = np.cross(from_centre, momenta).sum(axis=0)
    inertia = _inertia(positions, masses)
    rotation = np.linalg.pinv(inertia, rcond=1e-8, hermitian=True) @ angular
    return np.asarray(momenta - masses * np.cross(rotation, from_centre))


def _from_centre(positions: Array, masses: Array) -> Array:
    return positions - (masses * positions).sum(axis=0) / masses.sum()


def _inertia(positions: Array, masses: Array) -> Array:
    """[3, 3], amu Å²."""
    from_centre = _from_centre(positions, masses)
    squares = (from_centre**2).sum(axis=1)[:, None, None] * np.eye(3)
    outer = from_centre[:, :, None] * from_centre[:, None, :]
    return np.asarray((masses[:, :, None] * (squares - outer)).sum(axis=0))
