"""The summary of relaxations: what converged, what did not, and what has changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from molnet.models import Model
from molnet.models.domain import DISTANCE, DISTANCES, Outside
from molnet.simulate.calculator import energy_name
from molnet.simulate.changes import bond_changes, displacements
from molnet.simulate.relaxation import Relaxed

SHOWN = 5
"""How many structures of a kind are named."""

FEW = 6
"""Of so few structures all are kept for a page, with the steps of their relaxation."""

MOST_REMARKABLE = 50
"""Of more structures, so many that need a look are kept."""


@dataclass(frozen=True)
class Remarkable:
    """A structure for a page.

    Attributes:
        name: of file and frame.
        relaxed: with its curves and, of few structures, its frames.
        start, end: as it came, and with the energy at the end in eV (NaN after a fault).
        gain: eV; NaN after a fault.
        reasons: why it needs a look; empty if it does not.
        distances: [N], of the atoms from the model's domain at the end, if they are known.
    """

    name: str
    relaxed: Relaxed
    start: Atoms
    end: Atoms
    gain: float
    reasons: list[str]
    distances: NDArray[np.floating] | None = None


@dataclass
class Spread:
    """Mean and largest of a stream of numbers, and whose that is."""

    count: int = 0
    total: float = 0.0
    largest: float = 0.0
    whose: str = ""

    def add(self, value: float, name: str) -> None:
        """Takes in one number."""
        self.count, self.total = self.count + 1, self.total + value
        if value >= self.largest:
            self.largest, self.whose = value, name

    @property
    def mean(self) -> float:
        """The mean; 0 of no numbers."""
        return self.total / max(self.count, 1)


@dataclass
class RelaxationSummary:
    """What has become of structures; ``str(summary)`` is for people.

    Attributes:
        output: where they are written.
        known: how many were finished by an interrupted call before.
        seconds: that the relaxation took.
        of: how many structures there will be.
        structures: how many.
        converged: how many of them.
        unconverged: the others, with what is left of forces and stress.
        failed: those that could not be relaxed, with the reason.
        bonds: those whose bonds are others than before.
        steps, gains, moves, deviations: steps; energies gained, in eV; the largest displacement of
            an atom and the root mean square of all, in Å.
        before, after: how many lie outside of the model's domain.
        remarkable: structures for a page: of few all, otherwise those that need a look.
        energies, forces: of each structure, by step, see
            :class:`~molnet.simulate.relaxation.Relaxed`.
    """

    output: Path
    known: int
    seconds: float
    of: int
    structures: int = 0
    converged: int = 0
    unconverged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    bonds: list[str] = field(default_factory=list)
    steps: Spread = field(default_factory=Spread)
    gains: Spread = field(default_factory=Spread)
    moves: Spread = field(default_factory=Spread)
    deviations: Spread = field(default_factory=Spread)
    before: Outside = field(default_factory=Outside)
    after: Outside = field(default_factory=Outside)
    remarkable: list[Remarkable] = field(default_factory=list)
    energies: list[list[float]] = field(default_factory=list)
    forces: list[list[float]] = field(default_factory=list)

    def add(
        self,
        name: str,
        relaxed: Relaxed,
        start: Atoms,
        end: Atoms,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        model: Model,
    ) -> None:
        """Takes in a structure with its predictions before and after."""
        self.structures += 1
        self.energies.append(relaxed.energies)
        self.forces.append(relaxed.forces)
        reasons = []
        if relaxed.converged:
            self.converged += 1
        else:
            stress = f" and {relaxed.stress:.3g} GPa" if relaxed.stress else ""
            left = f"{relaxed.force:.3g} eV/Å{stress} left after {relaxed.steps} steps"
            self.unconverged.append(f"{name}: {left}")
            reasons.append(f"not converged: {left}")
        moved = displacements(start, end)
        self.steps.add(relaxed.steps, name)
        self.moves.add(float(moved.max()), name)
        self.deviations.add(float((moved**2).mean() ** 0.5), name)
        energy, gain = energy_name(model), np.nan
        if energy is not None:
            gain = float(before[energy] - after[energy])
            self.gains.add(gain, name)
        if changes := bond_changes(start, end):
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            self.bonds.append(f"{name}: {', '.join(changes[:3])}{more}")
            reasons.append(f"other bonds: {', '.join(changes[:3])}{more}")
        for outside, prediction in ((self.before, before), (self.after, after)):
            if DISTANCES in prediction:
                outside.add(name, prediction[DISTANCES], start.numbers)
        distances = after.get(DISTANCES)
        if distances is not None and distances.max() > 1:
            reasons.append(f"outside of the model's domain: {DISTANCE} {distances.max():.1f}")
        self._keep(Remarkable(name, relaxed, start, end, gain, reasons, distances))

    def add_fault(self, name: str, relaxed: Relaxed, given: Atoms) -> None:
        """Takes in a structure that could not be relaxed."""
        self.structures += 1
        self.failed.append(f"{name}: {relaxed.fault}")
        reasons = [f"failed: {relaxed.fault}"]
        self._keep(Remarkable(name, relaxed, given, given, np.nan, reasons))

    def _keep(self, structure: Remarkable) -> None:
        if structure.reasons or self.of <= FEW:
            self.remarkable.append(structure)
            del self.remarkable[MOST_REMARKABLE:]

    def __str__(self) -> str:
        done = self.structures - self.known
        rate = f", {done / self.seconds:.3g} structures/s" if done and self.seconds else ""
        before = f" ({self.known} of them before the interruption)" if self.known else ""
        lines = [
            f"{self.converged} of {_structures(self.structures)} converged{before}, "
            f"{self.seconds:.1f} s{rate}"
        ]
        if self.steps.count:
            lines += [
                f"steps                mean {self.steps.mean:.0f}, most {self.steps.largest:.0f}",
                f"energy gained        mean {self.gains.mean:.4f} eV, most "
                f"{self.gains.largest:.4f} eV",
                f"RMSD                 mean {self.deviations.mean:.3f} Å, most "
                f"{self.deviations.largest:.3f} Å",
                f"largest displacement {self.moves.largest:.3f} Å ({self.moves.whose})",
            ]
        lines += _named("not converged", self.unconverged)
        lines += _named("failed", self.failed)
        lines += _named("other bonds than before", self.bonds)
        for when, outside in (("at the start", self.before), ("relaxed", self.after)):
            if outside.count:
                lines.append(f"warning: {when}, {outside}")
        return "\n".join([*lines, f"written to {self.output}"])


def _structures(number: int) -> str:
    return f"{number} structure{'' if number == 1 else 's'}"


def _named(what: str, entries: list[str]) -> list[str]:
    if not entries:
        return []
    shown = [f"  {entry}" for entry in entries[:SHOWN]]
    more = [f"  ... and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
    return [f"{what}: {len(entries)}", *shown, *more]
