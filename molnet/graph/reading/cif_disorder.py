"""One ordered structure of a disordered crystal: the most occupied alternative everywhere."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.cell import Cell
from ase.data import covalent_radii
from ase.geometry import get_distances

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.graph.reading.disorder import FULL

TOO_CLOSE = 0.75
"""Atoms closer than this fraction of a bond's length cannot both be there."""

TERMINAL = ("H", "D", "F", "Cl", "Br", "I", "O")
"""Elements at the ends of rotating groups (CF3, CH3, ClO4); these atoms do not bond each other."""

TURNED = 1.25
"""The fraction for two of these atoms: alternative places of a rotated group are farther apart."""

TURNED_HYDROGENS = 1.3
"""The same for two hydrogen atoms, as a distance (Å): less than in CH3 or H2O."""

SAME_PLACE = 0.1
"""Distance (Å) under which two sites are one."""


@dataclass(frozen=True)
class Site:
    """A site of the asymmetric unit.

    Attributes:
        label: its name in the file.
        symbol: the element.
        xyz: fractional coordinates, or Cartesian ones where there is no cell.
        occupancy: which part of the cells has an atom there.
        assembly: of several disordered places the one that this site belongs to.
        group: which of the assembly's alternatives it belongs to; ``.`` for none.
    """

    label: str
    symbol: str
    xyz: tuple[float, ...]
    occupancy: float
    assembly: str
    group: str

    @property
    def has_group(self) -> bool:
        """Whether the site belongs to one of several alternatives."""
        return self.group not in (".", "?", "0", "")

    @property
    def described(self) -> str:
        """How messages name it."""
        group = f", group {self.group}" if self.has_group else ""
        return f"{self.label} ({self.symbol}{group}, {self.occupancy:g})"


def disordered_sites(sites: Sequence[Site]) -> list[Site]:
    """Sites that are partly occupied, one of several alternatives, or at the place of another."""
    groups = defaultdict(set)
    places = defaultdict(list)
    for site in sites:
        places[tuple(np.round(np.mod(np.round(site.xyz, 4), 1.0), 3))].append(site)
        if site.has_group:
            groups[site.assembly].add(site.group)
    return [
        site
        for site in sites
        if site.occupancy < FULL
        or (site.has_group and (len(groups[site.assembly]) > 1 or site.group.startswith("-")))
        or len(places[tuple(np.round(np.mod(np.round(site.xyz, 4), 1.0), 3))]) > 1
    ]


def majority(
    sites: Sequence[Site], cell: Cell, spacegroup: Any, scaled: bool
) -> tuple[list[Site], np.ndarray]:
    """Atoms of one ordered choice in the unit cell; the choice is deterministic.

    In each assembly the group with the highest mean occupancy is chosen (of equals the first by
    name). Sites without a group exclude each other if they are too close; the most occupied one is
    chosen (of equals the first in the file). A site that excludes no other is kept if its occupancy
    is at least one half.

    Args:
        sites: of the asymmetric unit.
        cell: the unit cell, or none.
        spacegroup: ASE's; None without a cell.
        scaled: whether the coordinates are fractional.

    Returns:
        The site of each atom, and positions (Å) [N, 3].

    Raises:
        ValueError: a group is disordered about a symmetry element, so that no choice of sites of
            the asymmetric unit is ordered.
    """
    about_symmetry = [site.described for site in sites if site.group.startswith("-")]
    if about_symmetry:
        raise ValueError(
            f"{', '.join(about_symmetry[:6])}: disordered about a symmetry element, so no choice "
            "of sites is ordered. Order the structure in a lower symmetry yourself"
        )
    best = _best_groups(sites)
    candidates = [s for s in sites if not s.has_group or s.group == best[s.assembly]]
    owners: list[int] = []
    positions = np.zeros((0, 3))
    for i, site in enumerate(candidates):
        places = np.array([site.xyz])
        if spacegroup is not None:
            if not scaled:
                places = cell.scaled_positions(places)
            places, _ = spacegroup.equivalent_sites(places, onduplicates="keep")
            places = cell.cartesian_positions(places)
        owners += [i] * len(places)
        positions = np.concatenate([positions, places])
    return _exclude(candidates, owners, positions, cell)


def _best_groups(sites: Sequence[Site]) -> dict[str, str]:
    occupancies: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for site in sites:
        if site.has_group:
            occupancies[site.assembly][site.group].append(site.occupancy)
    return {
        assembly: min(groups, key=lambda group: (-round(float(np.mean(groups[group])), 6), group))
        for assembly, groups in occupancies.items()
    }


def _exclude(
    sites: list[Site], owners: list[int], positions: np.ndarray, cell: Cell
) -> tuple[list[Site], np.ndarray]:
    """Goes through the atoms, most occupied first, and leaves out what those before exclude."""
    radii = np.array([covalent_radii[ATOMIC_NUMBERS.get(site.symbol, 1)] for site in sites])
    partial = np.array([not s.has_group and s.occupancy < FULL for s in sites])
    _, distances = get_distances(positions, cell=cell, pbc=cell.rank == 3)
    owner = np.array(owners)
    terminal = np.array([site.symbol in TERMINAL for site in sites])[owner]
    hydrogen = np.array([site.symbol in ("H", "D") for site in sites])[owner]
    bonds = radii[owner][:, None] + radii[owner][None, :]
    limits = np.where(terminal[:, None] & terminal[None, :], TURNED, TOO_CLOSE) * bonds
    limits[hydrogen[:, None] & hydrogen[None, :]] = TURNED_HYDROGENS
    both_partial = partial[owner][:, None] & partial[owner][None, :]
    excludes = np.where(both_partial, distances < limits, distances < SAME_PLACE)
    np.fill_diagonal(excludes, False)
    order = sorted(range(len(owner)), key=lambda atom: (-sites[owner[atom]].occupancy, atom))
    kept: list[int] = []
    for atom in order:
        site = sites[owner[atom]]
        alone = not excludes[atom].any()
        if excludes[atom, kept].any() or (alone and partial[owner[atom]] and site.occupancy < 0.5):
            continue
        kept.append(atom)
    kept.sort()
    return [sites[owner[atom]] for atom in kept], positions[kept]
