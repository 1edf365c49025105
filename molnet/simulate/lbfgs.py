"""L-BFGS for many independent functions at once, each with a guessed Hessian and a trust radius.

Nocedal, Math. Comput. 35, 773 (1980), in the two-loop form of Nocedal and Wright, Numerical
Optimization (2006), algorithm 7.4. In place of a line search, a step that raises the energy is
taken back and tried again, shorter.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Solve = Callable[[Array], Array]
"""Multiplies rows of three coordinates by the inverse of a positive definite matrix."""

MEMORY = 20
"""How many earlier steps each function remembers."""

LARGEST_STEP = 0.2
"""Å, the trust radius at first and at most: the largest step of a row."""

TRUSTED = LARGEST_STEP / 4
"""Å: a step that is taken back below this trust radius discredits what is remembered."""

NOISE = 1e-7
"""Relative rounding error of energies in float32: no smaller rise of an energy is real."""


class LBFGS:
    """Minimises G functions of rows of three coordinates each.

    Args:
        counts: [G], the number of rows of each function, N in all.
        solvers: G of them, a guess of the matrix of second derivatives of each function.
    """

    def __init__(self, counts: NDArray[np.integer], solvers: Sequence[Solve]) -> None:
        self.counts, self._solvers = np.asarray(counts), list(solvers)
        groups, rows = len(self.counts), int(self.counts.sum())
        self._steps = np.zeros((MEMORY, rows, 3))
        self._changes = np.zeros((MEMORY, rows, 3))
        self._inverse = np.zeros((MEMORY, groups))  # 1 / (s · y); 0 for a pair that does not count
        self._radius = np.full(groups, LARGEST_STEP)
        self._at: Array = np.full((rows, 3), np.nan)  # where each function is lowest so far
        self._forces = np.zeros((rows, 3))
        self._energies = np.full(groups, np.inf)

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Goes on with some of the functions.

        Args:
            which: [G].
        """
        rows = np.repeat(which, self.counts)
        self.counts = self.counts[which]
        self._solvers = [self._solvers[i] for i in np.flatnonzero(which)]
        self._steps, self._changes = self._steps[:, rows], self._changes[:, rows]
        self._inverse, self._radius = self._inverse[:, which], self._radius[which]
        self._at, self._forces = self._at[rows], self._forces[rows]
        self._energies = self._energies[which]

    def add(self, counts: NDArray[np.integer], solvers: Sequence[Solve]) -> None:
        """Takes in more functions, behind the others."""
        new = LBFGS(counts, solvers)
        self.counts = np.concatenate([self.counts, new.counts])
        self._solvers += new._solvers
        for name in ("_steps", "_changes", "_inverse"):
            joined = np.concatenate([getattr(self, name), getattr(new, name)], axis=1)
            setattr(self, name, joined)
        for name in ("_radius", "_at", "_forces", "_energies"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(new, name)]))

    def step(self, at: Array, energies: Array, forces: Array) -> Array:
        """The coordinates to evaluate next.

        Args:
            at: [N, 3], where the functions were evaluated.
            energies: [G], the functions.
            forces: [N, 3], their negative gradients.
        """
        rose = energies > self._energies + NOISE * np.abs(energies)
        fell = ~rose
        rows = np.repeat(fell, self.counts)[:, None]
        self._remember(at - self._at, self._forces - forces, fell & np.isfinite(self._energies))
        self._radius = np.where(
            rose, self._radius / 3, np.minimum(self._radius * 1.5, LARGEST_STEP)
        )
        self._at = np.where(rows, at, self._at)
        self._forces = np.where(rows, forces, self._forces)
        self._energies = np.where(fell, energies, self._energies)
        # After a second step that was taken back the earlier pairs are not trusted either.
        self._inverse[:, rose & (self._radius < TRUSTED)] = 0.0
        return self._at + self._limited(self._direction())

    def _remember(self, steps: Array, changes: Array, sound: NDArray[np.bool_]) -> None:
        for kept, new in ((self._steps, steps), (self._changes, changes)):
            kept[:-1] = kept[1:]
            kept[-1] = np.where(np.repeat(sound, self.counts)[:, None], new, 0.0)
        products = self._dot(self._steps[-1], self._changes[-1])
        positive = products > 1e-10  # otherwise the curvature along the step is negative
        self._inverse[:-1] = self._inverse[1:]
        self._inverse[-1] = np.where(positive, 1.0 / np.where(positive, products, 1.0), 0.0)

    def _direction(self) -> Array:
        direction = self._forces.copy()
        weights = []
        for step, change, inverse in self._newest_first():
            weight = inverse * self._dot(step, direction)
            direction -= self._spread(weight) * change
            weights.append(weight)
        direction = self._spread(1.0 / self._stiffer()) * self._solved(direction)
        pairs = zip(self._oldest_first(), reversed(weights), strict=True)
        for (step, change, inverse), weight in pairs:
            correction = weight - inverse * self._dot(change, direction)
            direction += self._spread(correction) * step
        return direction

    def _oldest_first(self) -> list[tuple[Array, Array, Array]]:
        used = self._inverse.any(axis=1)
        return [(self._steps[i], self._changes[i], self._inverse[i]) for i in np.flatnonzero(used)]

    def _newest_first(self) -> list[tuple[Array, Array, Array]]:
        return self._oldest_first()[::-1]

    def _stiffer(self) -> Array:
        """[G], how many times as stiff as the guess each function is along its newest pair."""
        if not self._inverse[-1].any():
            return np.ones(len(self.counts))
        change = self._changes[-1]
        return np.maximum(self._dot(change, self._solved(change)) * self._inverse[-1], 1.0)

    def _solved(self, rows: Array) -> Array:
        parts = np.split(rows, self._first()[1:])
        return np.concatenate(
            [solve(part) for solve, part in zip(self._solvers, parts, strict=True)]
        )

    def _limited(self, direction: Array) -> Array:
        longest = np.sqrt(self._largest((direction**2).sum(axis=1)))
        scale = np.minimum(1.0, self._radius / np.maximum(longest, 1e-300))
        return direction * self._spread(scale)

    def _first(self) -> NDArray[np.integer]:
        return np.cumsum(self.counts) - self.counts

    def _dot(self, a: Array, b: Array) -> Array:
        return np.asarray(np.add.reduceat(np.einsum("nx,nx->n", a, b), self._first()))

    def _largest(self, values: Array) -> Array:
        return np.asarray(np.maximum.reduceat(values, self._first()))

    def _spread(self, values: Array) -> Array:
        return np.repeat(values, self.counts)[:, None]
