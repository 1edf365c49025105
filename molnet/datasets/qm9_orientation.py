"""QM9's polarizability tensors, turned into the frame of QM9's geometries.

The tensors that come with QM9 are not given in the axes of its geometries but in Gaussian's
*standard orientation*. Ethyne shows it at once: its geometry lies along x, its tensor is long along
z. Two rules make up that orientation, and both were checked on the 130,831 tensors:

1. The axes are the principal axes of the nuclear charges, in order of increasing moment of inertia.
   Only a few symmetric molecules (water, ethyne, ...) have theirs in another order, and two linear
   ones (indices 485 and 14564) were left in a frame of their own. A linear molecule's tensor is
   known from its eigenvalues alone.
2. The axes point to where the third moments Σ Z y³ and Σ Z z³ are positive. This leads to the right
   signs of the off-diagonal components for 84% of the molecules. The others break the rule the more
   often the smaller the moments are, as if it had been applied at an earlier step of the
   optimisation; nothing in the final geometry can tell those.

So the four possible choices of signs are compared with an additive model of the tensor, a sum over
pairs of atoms (:data:`PAIR_ANISOTROPY`), fitted to 57,000 of these tensors. The rule stands unless
the model contradicts it by more than the model's own error.

What speaks for the result: in all 3,016 planar molecules the plane's normal is the axis of the
least polarizability; for 99.9% of the 11,265 tensors with one mirror plane or twofold axis the
geometry has the same one; the polarizabilities of GFN2-xTB in finite fields, in the frame of the
geometry, prefer the same signs for 90% of 400 random molecules without symmetry, for 98% of that
half where the choice matters most and for all of that quarter.

What remains uncertain: the model is off by 1.1 Bohr³ in an off-diagonal component, whose root mean
square is 2.9 Bohr³. Choices that differ by less than that cannot be told apart. From their
probabilities, turned tensors are wrong by 0.3 Bohr³ per component (root mean square over all
molecules; the anisotropic part itself has 9.6). Trace and eigenvalues are not affected.
"""

from itertools import permutations

import numpy as np
from ase.data import atomic_numbers

# Traceless polarizability of a pair at distance r (Å): b(r) (r̂ r̂ᵀ − 1/3) with
# b(r) = c₁/r + c₃/r³ + c₆/r⁶ + c₉/r⁹ in Bohr³, by least squares to the tensors of QM9.
PAIR_ANISOTROPY = {
    ("H", "H"): (-0.73, -6.77, 221.68, -744.61),
    ("H", "C"): (0.95, -2.26, 93.05, -115.46),
    ("H", "N"): (-1.92, 22.15, 21.24, -42.70),
    ("H", "O"): (-1.54, 28.59, -80.61, 52.03),
    ("H", "F"): (1.87, -70.84, 2502.44, -19212.02),
    ("C", "C"): (7.53, -28.80, 101.34, -3.85),
    ("C", "N"): (15.53, -115.29, 440.21, -432.19),
    ("C", "O"): (9.08, -70.01, 270.35, -269.59),
    ("C", "F"): (10.16, -122.11, 605.24, -791.84),
    ("N", "N"): (21.51, -191.16, 713.33, -720.27),
    ("N", "O"): (14.39, -129.46, 606.91, -723.73),
    ("N", "F"): (36.06, -760.33, 15002.89, -94148.97),
    ("O", "O"): (2.36, 11.67, -617.54, 6303.89),
    ("O", "F"): (14.22, -266.09, 5246.31, -30373.76),
    ("F", "F"): (-6.88, 298.28, -4717.91, 19514.27),
}

# Costs are squared differences of components (Bohr⁶), each off-diagonal pair counted once.
RULE_ADVANTAGE = 6.5  # 2σ² ln(0.84 / 0.05) for the model's error σ = 1.1 Bohr³
PERMUTATION_PENALTY = 10.0
VANISHING = 0.0015  # Bohr³; the file has three decimals
POLAR = (
    1e-3  # smallest third moment that is not zero by symmetry, relative to Σ Z (|x|³ + |y|³ + |z|³)
)
LINEAR = 0.05  # Å, largest distance of an atom from the axis

_SIGNS = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
# The identity comes first, so the first four candidates are the four choices of signs.
_ORDERS = np.array(list(permutations(range(3))))
_PERMUTATIONS = np.eye(3)[:, _ORDERS].transpose(1, 0, 2)
_GOES_TO = np.repeat(_ORDERS, 4, axis=0)  # the principal axis that each axis of a tensor goes to
_CANDIDATES = np.einsum("pij,sj->psij", _PERMUTATIONS, _SIGNS).reshape(24, 3, 3)


def turn_into_frame_of_geometry(
    species: np.ndarray, positions: np.ndarray, tensors: np.ndarray
) -> np.ndarray:
    """Turns polarizabilities from Gaussian's standard orientation to that of the positions.

    Args:
        species: [B, N] atomic numbers of B molecules of H, C, N, O and F; 0 where there is no atom.
        positions: [B, N, 3] Å.
        tensors: [B, 3, 3] Bohr³, in the standard orientation.

    Returns:
        [B, 3, 3] Bohr³: the tensors R α Rᵀ with the rotation R of each molecule.
    """
    axes, centred = principal_axes(species, positions)
    model = additive_anisotropy(species, centred)
    candidates = np.einsum("cij,bjk,clk->bcil", _CANDIDATES, tensors, _CANDIDATES)
    cost = 0.5 * np.sum((_traceless(candidates) - model[:, None]) ** 2, axis=(2, 3))

    # third moments: the axes y and z point to the positive side, x completes a rotation
    third = np.einsum("bn,bni->bi", species, centred**3)
    signs = np.where(third >= 0, 1, -1)
    signs[:, 0] = signs[:, 1] * signs[:, 2]
    by_rule = np.argmax(np.all(signs[:, None] == _SIGNS, axis=2), axis=1)
    cost[np.arange(len(cost)), by_rule] -= RULE_ADVANTAGE

    # only a symmetric molecule has its axes in another order; then signs matter less or not at all
    off_diagonal = np.abs(tensors[:, (0, 0, 1), (1, 2, 2)])
    vanishing = np.count_nonzero(off_diagonal < VANISHING, axis=1)
    penalty = np.select([vanishing == 3, vanishing == 2], [0.0, PERMUTATION_PENALTY], np.inf)
    cost[:, 4:] += penalty[:, None] - RULE_ADVANTAGE
    # with a single polar axis, a twofold one, that axis is z
    scale = np.einsum("bn,bni->b", species, np.abs(centred) ** 3)
    polar = np.abs(third) > POLAR * scale[:, None]
    single = np.count_nonzero(polar, axis=1) == 1
    elsewhere = _GOES_TO[:, 2] != polar.argmax(axis=1)[:, None]
    cost[:, 4:][(single & (vanishing == 3))[:, None] & elsewhere[:, 4:]] = np.inf

    chosen = np.take_along_axis(candidates, cost.argmin(axis=1)[:, None, None, None], axis=1)[:, 0]
    linear = np.abs(centred[:, :, 1:]).max(axis=(1, 2)) < LINEAR
    chosen[linear] = np.eye(3) * np.linalg.eigvalsh(tensors[linear])[:, None, ::-1]
    return np.asarray(axes @ chosen @ axes.transpose(0, 2, 1))


def principal_axes(species: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of the nuclear charges, and the positions along them from the charge centre.

    Args:
        species: [B, N] atomic numbers; 0 where there is no atom.
        positions: [B, N, 3] Å.

    Returns:
        axes [B, 3, 3], columns in order of increasing moment of inertia, right-handed; positions
        [B, N, 3] in these axes.
    """
    charges = species.astype(np.float64)
    centre = np.einsum("bn,bni->bi", charges, positions) / charges.sum(axis=1)[:, None]
    centred = np.where(species[:, :, None] > 0, positions - centre[:, None], 0.0)
    second = np.einsum("bn,bni,bnj->bij", charges, centred, centred)
    inertia = np.trace(second, axis1=1, axis2=2)[:, None, None] * np.eye(3) - second
    axes = np.linalg.eigh(inertia).eigenvectors
    axes[:, :, 2] *= np.linalg.det(axes)[:, None]
    return axes, centred @ axes


def additive_anisotropy(species: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The traceless polarizability by the sum over pairs of :data:`PAIR_ANISOTROPY`.

    Args:
        species: [B, N] atomic numbers; 0 where there is no atom.
        positions: [B, N, 3] Å.

    Returns:
        [B, 3, 3] Bohr³.
    """
    i, j = np.triu_indices(species.shape[1], k=1)
    molecule, pair = np.nonzero((species[:, i] > 0) & (species[:, j] > 0))
    i, j = i[pair], j[pair]
    vectors = positions[molecule, i] - positions[molecule, j]
    inverse = 1.0 / np.linalg.norm(vectors, axis=1)
    c1, c3, c6, c9 = _COEFFICIENTS[:, species[molecule, i], species[molecule, j]]
    cube = inverse**3
    strength = (c1 * inverse + cube * (c3 + cube * (c6 + cube * c9))) * inverse**2
    weighted = strength[:, None] * vectors
    total = np.empty((len(species), 3, 3))
    for a in range(3):
        for b in range(a, 3):
            component = np.bincount(molecule, weighted[:, a] * vectors[:, b], len(species))
            total[:, a, b] = total[:, b, a] = component
    return _traceless(total)


def _traceless(tensors: np.ndarray) -> np.ndarray:
    thirds = np.trace(tensors, axis1=-2, axis2=-1) / 3.0
    return np.asarray(tensors - thirds[..., None, None] * np.eye(3))


def _coefficients() -> np.ndarray:
    table = np.zeros((4, 10, 10))
    for (first, second), row in PAIR_ANISOTROPY.items():
        a, b = atomic_numbers[first], atomic_numbers[second]
        table[:, a, b] = table[:, b, a] = row
    return table


_COEFFICIENTS = _coefficients()
