"""Whether the energies and the forces of a data set belong together.

Between two structures of the same atoms the energy changes by the work of the forces on the way,

    E_j − E_i ≈ −½ Σ_a (F_ia + F_ja) · (r_ja − r_ia),

exactly where the energy is quadratic. Labels whose unit or sign is not what was said break this,
and nothing else shows it: each of them may be plausible alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molnet.datasets.guesses import usual_units
from molnet.datasets.store import ArrayStore
from molnet.properties import PROPERTIES
from molnet.units import conversion_factor

Floats = NDArray[np.float64]

LOOKED_AT = 600
"""Structures that are looked at."""
RUN = 50
"""Structures next to each other, as files hold the frames of a molecule together."""
OF_ONE_KIND = 200
"""Structures of the same atoms that are compared with each other."""
FEWEST_PAIRS = 20
CORRELATED = 0.85
"""Correlation of changes and work from which on their ratio says something."""
DIGITS = 4
"""Of cells in Å: only structures in the same cell are compared."""
FACTOR = 1.5
"""Ratio of changes to work that curvature does not explain where both are correlated."""
SAME_FACTOR = 1.25
"""Ratios that may be the same one."""


@dataclass(frozen=True)
class Agreement:
    """How energies change between similar structures, and what the forces say.

    Attributes:
        pairs: number of pairs of structures.
        correlation: of the changes e and the work w, about zero: Σ e w / √(Σ e² Σ w²).
        ratio: of e to w: √(Σ e² / Σ w²), or the median of |e/w| if that is nearer to one; with the
            sign of the correlation.
        example: two similar structures.
        change: of the energy from the first to the second of them, eV.
        work: what the forces say about this change, eV.
    """

    pairs: int
    correlation: float
    ratio: float
    example: tuple[int, int]
    change: float
    work: float

    @property
    def is_broken(self) -> bool:
        """Whether energies and forces have other units or another sign than was said."""
        telling = self.pairs >= FEWEST_PAIRS and abs(self.correlation) >= CORRELATED
        return telling and not 1 / FACTOR <= self.ratio <= FACTOR


def agreement(
    store: ArrayStore, indices: NDArray[np.int64], energy: str = "energy", forces: str = "forces"
) -> Agreement | None:
    """Compares the energies of similar structures with the work of the forces between them.

    Each structure is compared with the most similar one of the same atoms in the same cell. The
    third of the pairs whose atoms move least counts.

    Args:
        store: the data set.
        indices: of the structures that may be looked at.
        energy, forces: names of the labels.

    Returns:
        None if no two structures have the same atoms, or nothing changes between them.
    """
    found = [
        pair
        for alike in _alike(store, _some(indices))
        for pair in _pairs(store, alike, store.labels[energy], store.labels[forces])
    ]
    found.sort(key=lambda pair: pair[0])
    kept = found[: max(len(found) // 3, FEWEST_PAIRS)]
    if not kept:
        return None
    change, work = np.array([[pair[3], pair[4]] for pair in kept]).T
    squares = float(change @ change), float(work @ work)
    if min(squares) == 0:
        return None
    correlation = float(change @ work) / np.sqrt(squares[0] * squares[1])
    moved = (change != 0) & (work != 0)
    ratios = np.sqrt(squares[0] / squares[1]), np.median(np.abs(change[moved] / work[moved]))
    ratio = min(map(float, ratios), key=lambda each: abs(np.log(each)))
    _, i, j, *shown = max(kept[: max(len(kept) // 4, 1)], key=lambda pair: abs(pair[3]))
    return Agreement(
        len(kept),
        float(correlation),
        float(np.copysign(ratio, correlation)),
        (i, j),
        *shown,
    )


def units_that_fit(ratio: float, of_energy: str, of_forces: str) -> list[str]:
    """Units with which changes of the energy would equal the work of the forces.

    Args:
        ratio: of one to the other as they were read.
        of_energy, of_forces: the units in which they were read.

    Returns:
        Such as ``["energies in Hartree"]``, the nearest first; two units only where one does not.
    """
    energy, forces = PROPERTIES["energy"], PROPERTIES["forces"]
    # As they are listed, the units of energies and of forces belong together one by one.
    both = list(zip(usual_units(energy), usual_units(forces), strict=False))
    single = [(e, of_forces, f"energies in {e}") for e in usual_units(energy)]
    single += [(of_energy, f, f"forces in {f}") for f in usual_units(forces)]
    return _fitting(ratio, of_energy, of_forces, single) or _fitting(
        ratio, of_energy, of_forces, [(e, f, f"energies in {e} and forces in {f}") for e, f in both]
    )


def _fitting(
    ratio: float, of_energy: str, of_forces: str, choices: list[tuple[str, str, str]]
) -> list[str]:
    off = {
        words: abs(
            np.log(conversion_factor(of_energy, e) * conversion_factor(f, of_forces) / abs(ratio))
        )
        for e, f, words in choices
    }
    return sorted((words for words in off if off[words] < np.log(SAME_FACTOR)), key=off.__getitem__)


def _some(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """All structures, or runs of neighbours spread over all."""
    ordered = np.sort(indices)
    if len(ordered) <= LOOKED_AT:
        return ordered
    starts = np.linspace(0, len(ordered) - RUN, LOOKED_AT // RUN).astype(np.int64)
    return np.unique(ordered[(starts[:, None] + np.arange(RUN)).ravel()])


def _alike(store: ArrayStore, chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Structures of the same atoms in the same order, in the same cell."""
    kinds: dict[tuple[bytes, ...], list[int]] = {}
    for index in chosen.tolist():
        kind = [store.species[store.offsets[index] : store.offsets[index + 1]].tobytes()]
        if store.pbc is not None and store.cells is not None:
            kind += [store.pbc[index].tobytes(), store.cells[index].round(DIGITS).tobytes()]
        kinds.setdefault(tuple(kind), []).append(index)
    for alike in kinds.values():
        if len(alike) > 1:
            yield np.array(alike[:OF_ONE_KIND])


def _pairs(
    store: ArrayStore, alike: NDArray[np.int64], energy: Floats, forces: Floats
) -> Iterator[tuple[float, int, int, float, float]]:
    """Each structure i and the one nearest to it, j: Å per atom, i, j, E_j − E_i, work."""
    first = alike[0]
    rows = store.offsets[alike][:, None] + np.arange(
        store.offsets[first + 1] - store.offsets[first]
    )
    labelled = np.isfinite(energy[alike]) & np.isfinite(forces[rows]).all(axis=(1, 2))
    alike, rows = alike[labelled], rows[labelled]
    if len(alike) < 2:
        return
    energy, forces = energy[alike].astype(np.float64), forces[rows].astype(np.float64)
    positions = store.positions[rows]
    periodic = store.pbc is not None and bool(store.pbc[first].any())
    if not periodic:
        positions = positions - positions.mean(axis=1, keepdims=True)
    for i in range(len(alike)):
        if periodic and store.cells is not None and store.pbc is not None:
            moved = _nearest_images(positions - positions[i], store.cells[first], store.pbc[first])
            turned = forces
        else:
            turns = _turns(positions, positions[i])
            moved = positions @ turns - positions[i]
            turned = forces @ turns
        squares = np.square(moved).sum(axis=(1, 2))
        squares[i] = np.inf
        j = int(squares.argmin())
        distance = float(np.sqrt(squares[j] / moved.shape[1]))
        work = -0.5 * float(((forces[i] + turned[j]) * moved[j]).sum())
        yield distance, int(alike[i]), int(alike[j]), float(energy[j] - energy[i]), work


def _turns(positions: Floats, onto: Floats) -> Floats:
    """Rotations [n, 3, 3] of row vectors that bring each of n structures onto one (Kabsch).

    All are about their centres, in the origin.
    """
    u, _, v = np.linalg.svd(np.swapaxes(positions, 1, 2) @ onto)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]  # a rotation, no reflection
    return u @ v


def _nearest_images(moved: Floats, cell: Floats, pbc: NDArray[np.bool_]) -> Floats:
    """Displacements [n, atoms, 3] to the nearest images, without the drift of all atoms."""
    axes = np.where(pbc[:, None], cell, np.eye(3))
    whole = np.rint(moved @ np.linalg.inv(axes)) * pbc
    moved = moved - whole @ axes
    return moved - moved.mean(axis=1, keepdims=True)
