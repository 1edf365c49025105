"""Energies along an internal coordinate, rigid or relaxed, all points at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from molnet.models import FrozenModel, Model
from molnet.simulate.held import Held
from molnet.simulate.internal_coordinate import CoordinateError, InternalCoordinate
from molnet.simulate.motion import Move, bending, check_value, fixed_atoms, rigid_motion
from molnet.simulate.relaxation import Relaxed, relax

Array = NDArray[np.float64]

LOWER = 1e-3
"""eV. A neighbour's structure is taken if it relaxes to an energy lower by more than this."""


@dataclass(frozen=True)
class Scan:
    """Energies and structures along a coordinate.

    Attributes:
        coordinate: what was changed.
        values: [P], Å or degrees.
        points: [P], the structures with energy and forces, see
            :class:`~molnet.simulate.relaxation.Relaxed`: ``force`` is the largest on an atom
            without the part along a coordinate that is held, and ``fault`` says why there is no
            energy.
        relaxed: whether all else was relaxed.
        taken: at how many points a neighbour's structure led to a lower energy.
    """

    coordinate: InternalCoordinate
    values: Array
    points: list[Relaxed]
    relaxed: bool
    taken: int = 0

    @property
    def structures(self) -> list[Atoms]:
        """[P]."""
        return [point.atoms for point in self.points]

    @property
    def energies(self) -> Array:
        """[P], eV; NaN at points that could not be evaluated."""
        return np.array(
            [np.nan if p.fault else p.atoms.get_potential_energy() for p in self.points]
        )

    @property
    def relative(self) -> Array:
        """[P], kJ/mol above the lowest point."""
        energies = self.energies
        return np.asarray((energies - np.nanmin(energies)) * units.mol / units.kJ)

    @property
    def converged(self) -> bool:
        """Whether all points are relaxed; of a rigid scan, whether all have an energy."""
        return all(p.fault is None and (p.converged or not self.relaxed) for p in self.points)

    @property
    def closed(self) -> bool:
        """Whether the last point is the first again, as after a full turn."""
        return is_closed(self.coordinate, self.values)

    def extrema(self) -> tuple[list[int], list[int]]:
        """The points of minima and of maxima, in order; the ends of an open scan are none."""
        energies = self.energies
        last = len(energies) - 1
        minima: list[int] = []
        maxima: list[int] = []
        for point in range(last) if self.closed else range(1, last):
            around = [energies[n] for n in neighbours(point, len(energies), self.closed)]
            if all(energies[point] < other for other in around):
                minima.append(point)
            elif all(energies[point] > other for other in around):
                maxima.append(point)
        return minima, maxima


def scan(
    model: Model | FrozenModel,
    atoms: Atoms,
    coordinate: InternalCoordinate | Sequence[int],
    values: Sequence[float] | Array,
    *,
    relaxed: bool = True,
    fmax: float = 0.01,
    steps: int = 500,
    max_atoms: int = 4000,
    advance: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> Scan:
    """Energies of a structure along a distance, an angle or a torsion.

    A rigid scan moves the part of the molecule beyond the last bond of the coordinate, see
    :func:`~molnet.simulate.motion.rigid_motion`. A relaxed scan starts each point from the
    structure so moved (in a ring: bent), and relaxes all points at once while the coordinate is
    held. Then each point is tried from its neighbours' structures as well, until none of them leads
    to a lower energy: so the path is that of lowest energy in both directions.

    Args:
        model: with an energy and forces.
        atoms: the structure, which is not changed; its constraints are kept.
        coordinate: two, three or four atoms, counted from 0.
        values: Å or degrees, of the points in their order.
        relaxed: whether all but the coordinate is relaxed.
        fmax: eV/Å, of the relaxation.
        steps: most steps of one relaxation.
        max_atoms: most atoms that are evaluated at once.
        advance: called when a point is known.
        stop: asked again and again whether the scan shall be given as it is. Points that are not
            relaxed by then have a fault.

    Raises:
        CoordinateError: the structure does not have this coordinate, cannot be moved along it, or
            a value is not possible.
        ValueError: a setting that is not possible, or a model without forces.
    """
    if not isinstance(coordinate, InternalCoordinate):
        coordinate = InternalCoordinate(tuple(coordinate))
    places = np.asarray(values, dtype=float)
    if not len(places):
        raise CoordinateError("expected at least one value, received none")
    coordinate.check(atoms)
    for value in places:
        check_value(coordinate, value)
    if fixed_atoms(atoms) >= set(coordinate.atoms):
        raise CoordinateError(
            f"all atoms of the {coordinate.name(atoms)} are fixed by a constraint of the file"
        )
    frozen = FrozenModel.of(model)
    known: dict[int, Relaxed] = {}
    move, starts = _starts(atoms, coordinate, places, relaxed)
    if relaxed:
        starts = [_held(start, coordinate, v) for start, v in zip(starts, places, strict=True)]
    for point in relax(
        frozen, starts, fmax=fmax, steps=steps if relaxed else 0, max_atoms=max_atoms
    ):
        known[point.place] = point
        advance()
        if stop():
            break
    for place, start in enumerate(starts):
        known.setdefault(place, _unknown(place, start))
    taken: set[int] = set()
    if relaxed:

        def from_neighbours(pairs: list[tuple[int, int]]) -> list[Relaxed]:
            tried = [
                _held(move(known[other].atoms, places[to]), coordinate, places[to])
                for to, other in pairs
            ]
            if stop():
                return []
            return list(relax(frozen, tried, fmax=fmax, steps=steps, max_atoms=max_atoms))

        taken = _lowered(known, from_neighbours, is_closed(coordinate, places))
    points = [_as_given(known[place], atoms) for place in range(len(places))]
    return Scan(coordinate, places, points, relaxed, len(taken))


def is_closed(coordinate: InternalCoordinate, values: Array) -> bool:
    """Whether the last value of a torsion is the first again."""
    turns = (values[-1] - values[0]) / 360
    return coordinate.kind == "torsion" and abs(turns) > 0.5 and abs(turns - round(turns)) < 1e-6


def neighbours(point: int, points: int, closed: bool) -> list[int]:
    """The points before and after one; the last and the first of a closed scan are the same."""
    beside = [point - 1, point + 1]
    if closed:
        return [beside[0] if point else points - 2, beside[1] if point < points - 1 else 1]
    return [other for other in beside if 0 <= other < points]


def _starts(
    atoms: Atoms, coordinate: InternalCoordinate, values: Array, relaxed: bool
) -> tuple[Move, list[Atoms]]:
    """How structures are moved along the coordinate, and where each point starts."""
    try:
        rigid = rigid_motion(atoms, coordinate)
        return rigid, [rigid(atoms, value) for value in values]
    except CoordinateError:
        if not relaxed:
            raise
    bend = bending(coordinate)
    # From the nearest value on: what bends far bends in small steps.
    starts: dict[int, Atoms] = {}
    nearest = int(np.argmin([abs(coordinate.missing(atoms, value)) for value in values]))
    for way in (range(nearest, len(values)), range(nearest - 1, -1, -1)):
        now = starts.get(nearest, atoms)
        for place in way:
            now = starts[place] = bend(now, values[place])
    return bend, [starts[place] for place in range(len(values))]


def _lowered(
    known: dict[int, Relaxed],
    from_neighbours: Callable[[list[tuple[int, int]]], list[Relaxed]],
    closed: bool,
) -> set[int]:
    """Tries each point from its neighbours, and again where one has become lower.

    Args:
        known: the points, which are replaced by lower ones.
        from_neighbours: relaxes pairs of a point and the neighbour from which it starts.
        closed: see :attr:`Scan.closed`.

    Returns:
        The points that were replaced.
    """
    taken: set[int] = set()
    changed = list(range(len(known)))
    while changed:
        pairs = [
            (to, other)
            for other in changed
            for to in neighbours(other, len(known), closed)
            if known[other].fault is None
        ]
        changed = []
        for tried in from_neighbours(pairs):
            to = pairs[tried.place][0]
            if tried.fault is None and _energy(tried) < _energy(known[to]) - LOWER:
                known[to] = replace(tried, place=to)
                changed = [*changed, to] if to not in changed else changed
        taken |= set(changed)
    return taken


def _energy(point: Relaxed) -> float:
    return np.inf if point.fault else float(point.atoms.get_potential_energy())


def _held(atoms: Atoms, coordinate: InternalCoordinate, value: float) -> Atoms:
    held = atoms.copy()
    others = [one for one in atoms.constraints if not isinstance(one, Held)]
    held.set_constraint([*others, Held(coordinate, value, sorted(fixed_atoms(atoms)))])
    return held


def _unknown(place: int, start: Atoms) -> Relaxed:
    return Relaxed(place, start, False, 0, np.nan, np.nan, fault="interrupted before its end")


def _as_given(point: Relaxed, given: Atoms) -> Relaxed:
    """With the constraints with which the structure came."""
    point.atoms.set_constraint(given.constraints)
    return point
