"""A guess of the second derivatives of the energy of many structures, from their geometry alone.

Lindh, Bernhardsson, Karlström, Malmqvist, Chem. Phys. Lett. 241, 423 (1995): a force constant for
each bond, angle and torsion, which fades with the distances of the atoms. A relaxation that starts
from such a guess takes a fraction of the steps, as it moves soft torsions by as much as they need
and stiff bonds by as little.
"""

import numpy as np
from ase import units
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import splu

from molnet.graph.neighbours_of_many import find_neighbours_of_many
from molnet.simulate.internal_coordinate import derivatives_of
from molnet.simulate.lbfgs import Solve
from molnet.simulate.many import Many

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

STRETCH, BEND, TORSION = 0.45, 0.15, 0.005
"""Force constants in Hartree/Bohr², Hartree and Hartree, of ideal distances."""

IDEAL = np.array([[1.35, 2.10, 2.53], [2.10, 2.87, 3.40], [2.53, 3.40, 3.40]])
"""Bohr, by the rows of the periodic table of two atoms: first, second, all others."""

DECAY = np.array([[1.0, 0.3949, 0.3949], [0.3949, 0.28, 0.28], [0.3949, 0.28, 0.28]])
"""1/Bohr², likewise."""

REACH = 4.0
"""Å, of the stretches."""

BONDED = 0.1
"""Atoms whose force constant has faded to less than this have no angles and torsions."""

CROWDED = 6
"""Atoms with more bonds, as in metals, have no angles and torsions: the bonds alone hold them."""

STRAIGHT = 0.2
"""The sine below which an angle counts as straight; it then bends in two directions."""

FLOOR = 2.0
"""eV/Å², added for all directions: that of the softest ones."""

DENSE = 300
"""Coordinates up to which a matrix is inverted; larger ones are factorised as sparse matrices."""


def model_hessians(many: Many) -> list[csr_array]:
    """[3 n, 3 n] of each structure, in eV/Å²; positive definite.

    Args:
        many: the structures.
    """
    found = find_neighbours_of_many(many.positions, many.counts, many.cells, many.pbc, REACH)
    owner = np.repeat(np.arange(len(many)), found.counts)  # of the edges
    ends = np.stack([found.senders, found.receivers]) + many.first[owner]
    vectors = many.positions[ends[0]] - many.positions[ends[1]]
    vectors += np.einsum("ex,exy->ey", found.shifts.astype(np.float64), many.cells[owner])
    order = np.argsort(ends[1], kind="stable")
    ends, vectors = ends[:, order], vectors[order]
    period = np.digitize(many.numbers, [3, 11])
    pair = period[ends[0]], period[ends[1]]
    squared = (vectors**2).sum(axis=1) / units.Bohr**2
    fading = np.exp(DECAY[pair] * (IDEAL[pair] ** 2 - squared))

    parts = [_stretches(ends, vectors, fading)]
    bonds = fading > BONDED
    crowded = np.bincount(ends[1][bonds], minlength=len(many.numbers)) > CROWDED
    bonds &= ~crowded[ends].any(axis=0)
    ends, vectors, fading = ends[:, bonds], vectors[bonds], fading[bonds]
    parts += [*_bends(ends, vectors, fading), _torsions(ends, vectors, fading)]
    return _split(_assembled(parts, len(many.numbers)), many)


def solver(hessian: csr_array) -> Solve:
    """What multiplies rows [n, 3] by the inverse of one structure's matrix."""
    if hessian.shape[0] <= DENSE:
        inverse = np.linalg.inv(hessian.toarray())
        return lambda rows: (inverse @ rows.ravel()).reshape(-1, 3)
    factors = splu(hessian.tocsc())
    return lambda rows: factors.solve(rows.ravel()).reshape(-1, 3)


Part = tuple[Rows, Array, Array]
"""Of M internal coordinates: atoms [M, K], derivatives [M, K, 3] and force constants [M]."""


def _stretches(ends: Rows, vectors: Array, fading: Array) -> Part:
    once = (ends[0] < ends[1]) & (fading > 1e-4)
    directions = _unit(vectors[once])
    constants = STRETCH * units.Hartree / units.Bohr**2 * fading[once]
    return ends[:, once].T, np.stack([directions, -directions], axis=1), constants


def _bends(ends: Rows, vectors: Array, fading: Array) -> list[Part]:
    first, second = _pairs(ends[1], ends[1])
    keep = first < second
    first, second = first[keep], second[keep]
    atoms = np.stack([ends[0, first], ends[1, first], ends[0, second]], axis=1)
    u, v = vectors[first], vectors[second]
    constants = BEND * units.Hartree * fading[first] * fading[second]
    cosine = np.einsum("ex,ex->e", _unit(u), _unit(v))
    straight = 1 - cosine**2 < STRAIGHT**2
    bent = derivatives_of(np.stack([-u, v], axis=1)[~straight])
    parts = [(atoms[~straight], np.radians(bent), constants[~straight])]
    atoms, u, v, constants = atoms[straight], u[straight], v[straight], constants[straight]
    across = _across(u)
    for direction in (across, np.cross(_unit(u), across)):
        of_u, of_v = direction / _length(u), direction / _length(v)
        parts.append((atoms, np.stack([of_u, -of_u - of_v, of_v], axis=1), constants))
    return parts


def _torsions(ends: Rows, vectors: Array, fading: Array) -> Part:
    middle = np.flatnonzero(ends[0] < ends[1])
    # The bond is from j, its receiver, to k, its sender; others end at j and at k.
    bond, at_j = _pairs(ends[1, middle], ends[1])
    again, at_k = _pairs(ends[0, middle[bond]], ends[1])
    bond, at_j = middle[bond[again]], at_j[again]
    steps = np.stack([-vectors[at_j], vectors[bond], vectors[at_k]], axis=1)
    unit = steps / np.linalg.norm(steps, axis=2, keepdims=True)
    sines = np.linalg.norm(np.cross(unit[:, :-1], unit[:, 1:]), axis=2)
    keep = (sines > STRAIGHT).all(axis=1) & (ends[0, at_j] != ends[0, at_k])
    bond, at_j, at_k, steps = bond[keep], at_j[keep], at_k[keep], steps[keep]
    atoms = np.stack([ends[0, at_j], ends[1, bond], ends[0, bond], ends[0, at_k]], axis=1)
    constants = TORSION * units.Hartree * fading[bond] * fading[at_j] * fading[at_k]
    return atoms, np.radians(derivatives_of(steps)), constants


def _pairs(atoms: Rows, of_edges: Rows) -> tuple[Rows, Rows]:
    """For each entry of ``atoms`` its place and all edges that belong to it.

    Args:
        atoms: [M].
        of_edges: [E], ascending.
    """
    first = np.searchsorted(of_edges, atoms, side="left")
    numbers = np.searchsorted(of_edges, atoms, side="right") - first
    places = np.repeat(np.arange(len(atoms)), numbers)
    within = np.arange(len(places)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    return places, first[places] + within


def _assembled(parts: list[Part], atoms: int) -> csr_array:
    """Σ k (∂q/∂r)(∂q/∂r)ᵀ over all internal coordinates q, plus the floor."""
    hessian = csr_array((np.full(3 * atoms, FLOOR), (np.arange(3 * atoms),) * 2))
    for of_atoms, derivatives, constants in parts:
        columns = (3 * of_atoms[:, :, None] + np.arange(3)).reshape(-1, 3 * of_atoms.shape[1])
        rows = np.repeat(np.arange(len(constants)), columns.shape[1])
        weighted = derivatives * np.sqrt(constants)[:, None, None]
        shape = (len(constants), 3 * atoms)
        jacobian = csr_array((weighted.ravel(), (rows, columns.ravel())), shape)
        hessian = hessian + jacobian.T @ jacobian
    return csr_array(hessian)


def _split(hessian: csr_array, many: Many) -> list[csr_array]:
    parts = [many.atoms_of(place) for place in range(len(many))]
    parts = [slice(3 * part.start, 3 * part.stop) for part in parts]
    return [hessian[part, part] for part in parts]


def _length(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True))


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / _length(vectors))


def _across(vectors: Array) -> Array:
    """Unit vectors at right angles to others."""
    least = np.eye(3)[np.abs(vectors).argmin(axis=1)]
    return _unit(np.cross(vectors, least))
