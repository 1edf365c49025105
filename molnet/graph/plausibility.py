"""Checks for impossible distances and densities.

With a wrong unit of length or a wrong cell, a structure can still be computed, but its energy is
meaningless. Such structures are recognised by distances relative to the sum of covalent radii
(Cordero et al., Dalton Trans. 2008, 2832; ASE's table): bonds have 0.8 to 1.2 times this sum, and
metals under the pressure of the Earth's core 0.8.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph.elements import COVALENT_RADII, NOBLE_GASES, SYMBOLS
from molnet.graph.neighbours import StructureError
from molnet.graph.neighbours_of_many import find_neighbours_of_many

CLOSEST, CLOSEST_TO_HYDROGEN = 0.5, 0.7
"""Smallest possible distance in sums of covalent radii, at any temperature and pressure.

The bound is higher for hydrogen, which has no core: O–H 0.68 Å, H–H 0.43 Å.
"""

FARTHEST = 1.5
"""Most atoms have a neighbour within this many sums of covalent radii."""

FULLEST = 4.0
"""Largest volume of spheres of covalent radii over that of the cell; metals 1, uranium 1.6."""

MAY_HOLD_ZEROS = (".pdb", ".ent", ".gro", ".g96")
"""Suffixes of formats that always have a cell; zeros mean no cell."""

OTHER_UNITS = {"nm": 10.0, "Bohr": 0.529177, "pm": 0.01}
"""Units of length that may be mistaken for Å, in Å."""

BONDED = (0.75, 1.35)
"""Range of the closest contact in a molecule or a solid, in sums of covalent radii."""


def drop_placeholder_cell(atoms: Atoms, path: Path) -> str | None:
    """Removes a placeholder cell of a molecule; returns a sentence about it, or None.

    PDB files have a cube of 1 Å as the cell of a molecule by convention (``CRYST1 1.000 1.000 1.000
    90.00 90.00 90.00``), and so do other programs that must write a cell. PDB and Gromacs files may
    also hold zeros.

    Args:
        atoms: a structure as it was read; changed in place.
        path: of its file.
    """
    metric = atoms.cell.array @ atoms.cell.array.T
    if atoms.pbc.any() and np.allclose(metric, np.eye(3), rtol=0, atol=1e-3):
        cell = "a cube of 1 Å"
    elif atoms.pbc.all() and not metric.any() and _uncompressed_suffix(path) in MAY_HOLD_ZEROS:
        cell = "zero"
    else:
        return None
    atoms.set_cell(None)
    atoms.pbc = False
    return f"the cell is {cell}, which stands for no cell: taken as a molecule"


def _uncompressed_suffix(path: Path) -> str:
    return Path(path.stem if path.suffix in (".gz", ".bz2", ".xz") else path.name).suffix.lower()


def implausible(structures: Sequence[Atoms]) -> dict[int, str]:
    """Reasons to doubt structures, by place in the list.

    - Two atoms, or an atom and a periodic image, are closer than :data:`CLOSEST` (with hydrogen
      :data:`CLOSEST_TO_HYDROGEN`) times the sum of their covalent radii, or the cell is too small.
    - Most of three or more atoms have no neighbour within :data:`FARTHEST` times this sum.
      Structures with noble gases are exempt.

    Raises:
        StructureError: for a structure without atoms, an atomic number that no element has, and
            the faults that :func:`find_neighbours` names; ``index`` is the place in the list.
    """
    for place, atoms in enumerate(structures):
        _check_elements(atoms, place)
    crowded = {i: doubt for i, atoms in enumerate(structures) if (doubt := _crowded_cell(atoms))}
    # A crowded cell has more neighbours than one can look at.
    others = [i for i in range(len(structures)) if i not in crowded]
    if not others:
        return crowded
    try:
        doubts = dict(_judge_distances([structures[i] for i in others]))
    except StructureError as error:
        error.index = others[error.index]
        raise
    return crowded | {others[i]: doubt for i, doubt in doubts.items()}


def _check_elements(atoms: Atoms, place: int) -> None:
    if len(atoms) == 0:
        raise StructureError("the structure has no atoms. Leave it out.", place)
    unknown = (atoms.numbers < 1) | (atoms.numbers >= len(SYMBOLS))
    if unknown.any():
        atom = int(unknown.argmax())
        raise StructureError(
            f"atom {atom} (counted from 0) is no element: its atomic number is "
            f"{atoms.numbers[atom]}. Correct this structure or leave it out.",
            place,
        )


def _crowded_cell(atoms: Atoms) -> str | None:
    radii = COVALENT_RADII[atoms.numbers]
    lengths = atoms.cell.lengths()
    for direction in np.flatnonzero(atoms.pbc & (lengths > 0)):
        largest = int(radii.argmax())
        if lengths[direction] < CLOSEST * 2 * radii[largest]:
            return (
                f"the cell vector {direction} is {lengths[direction]:.3g} Å long: "
                f"{SYMBOLS[atoms.numbers[largest]]} would overlap with its own image. "
                "Correct the cell, or leave it out if this is a molecule"
            )
    volume = atoms.cell.volume if atoms.pbc.all() else 0.0
    filled = 4 / 3 * np.pi * float((radii**3).sum())
    if volume > 0 and filled > FULLEST * volume:
        return (
            f"{len(atoms)} atoms in a cell of {volume:.3g} Å³ would fill it {filled / volume:.1f} "
            "times over (a metal: once). Correct the cell, or leave it out if this is a molecule"
        )
    return None


def _judge_distances(structures: Sequence[Atoms]) -> Iterator[tuple[int, str]]:
    counts = np.array([len(atoms) for atoms in structures])
    numbers = np.concatenate([atoms.numbers for atoms in structures])
    radii = COVALENT_RADII[numbers]
    positions = np.concatenate([atoms.positions for atoms in structures])
    cells = np.stack([atoms.cell.array for atoms in structures])
    pbc = np.stack([atoms.pbc for atoms in structures])
    cutoff = 2 * FARTHEST * float(radii.max())
    edges = find_neighbours_of_many(positions, counts, cells, pbc, cutoff)

    structure = np.repeat(np.arange(len(counts)), edges.counts)  # of each edge
    first_atom = np.cumsum(counts) - counts
    senders, receivers = (e + first_atom[structure] for e in (edges.senders, edges.receivers))
    vectors = positions[senders] - positions[receivers]
    vectors += np.einsum("ei,eij->ej", edges.shifts, cells[structure])
    ratios = np.linalg.norm(vectors, axis=1) / (radii[senders] + radii[receivers])
    hydrogen = (numbers[senders] == 1) | (numbers[receivers] == 1)
    excess = ratios - np.where(hydrogen, CLOSEST_TO_HYDROGEN, CLOSEST)
    nearest = np.full(len(radii), np.inf)  # ratio of each atom to its nearest neighbour
    np.minimum.at(nearest, receivers, ratios)

    ends = np.cumsum(edges.counts)
    for place, atoms in enumerate(structures):
        mine = slice(ends[place] - edges.counts[place], ends[place])
        if excess[mine].min(initial=0.0) < 0:
            edge = mine.start + int(excess[mine].argmin())
            pair = int(edges.senders[edge]), int(edges.receivers[edge])
            yield place, _too_close(atoms, pair, float(ratios[edge]))
        elif _is_sparse(atoms, nearest[first_atom[place] :][: len(atoms)]):
            yield place, _too_far(atoms)


def _is_sparse(atoms: Atoms, nearest: NDArray[np.float64]) -> bool:
    if len(atoms) < 3 or np.isin(atoms.numbers, NOBLE_GASES).any():
        return False
    return bool(np.median(nearest) > FARTHEST)


def _too_close(atoms: Atoms, pair: tuple[int, int], ratio: float) -> str:
    first, second = sorted(pair)
    radii = COVALENT_RADII[atoms.numbers]
    distance = ratio * (radii[first] + radii[second])
    symbols = atoms.get_chemical_symbols()
    what = (
        f"atom {first} ({symbols[first]}) and its periodic image"
        if first == second
        else f"atoms {first} ({symbols[first]}) and {second} ({symbols[second]})"
    )
    return (
        f"{what} are {distance:.3g} Å apart, {ratio:.2g} times the sum of their covalent radii."
        f"{_other_unit(ratio)}"
    )


def _too_far(atoms: Atoms) -> str:
    """The nearest neighbours are beyond the search radius: find their distances for some atoms."""
    radii = COVALENT_RADII[atoms.numbers]
    some = np.arange(min(len(atoms), 100))
    distances = np.linalg.norm(atoms.positions - atoms.positions[some, None], axis=2)
    ratios = distances / (radii + radii[some, None])
    ratios[some, some] = np.inf
    ratio = float(np.median(ratios.min(axis=1)))
    return (
        f"most atoms have no neighbour within {FARTHEST} times the sum of covalent radii; the "
        f"nearest is at {ratio:.2g} times.{_other_unit(ratio)}"
    )


def _other_unit(ratio: float) -> str:
    """A hint, if the contact would be a bond in another unit of length."""
    low, high = BONDED
    units = [name for name, size in OTHER_UNITS.items() if low < ratio * size < high]
    return (
        f" Is the unit of length {units[0]}, not Å? Then set positions_unit={units[0]}."
        if units
        else ""
    )
