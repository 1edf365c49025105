"""Harmonic vibrations: frequencies, normal modes, infrared intensities, thermochemistry."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from numpy.typing import NDArray

from molnet.models import FrozenModel, Model
from molnet.simulate.hessian import dipole_derivatives, hessian

Array = NDArray[np.float64]

FREQUENCY = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
"""cm⁻¹ of the angular frequency √(1 eV/Å²/amu)."""

LINEAR = 0.05
"""Å. A molecule whose atoms are all nearer than this to one axis is linear, a little unrelaxed."""

KM_PER_MOL = 974.8801
"""km/mol of the infrared intensity of |∂μ/∂Q|² = 1 e²/amu."""


@dataclass(frozen=True)
class Vibrations:
    """The normal modes of one structure; those that move or turn it as a whole are left out.

    Attributes:
        atoms: the structure.
        indices: [n], the atoms that vibrate.
        hessian: [n, 3, n, 3], eV/Å².
        frequencies: [M], cm⁻¹, ascending; an imaginary frequency is a negative number.
        modes: [M, n, 3], ∂r/∂Q in amu^-½: times √mass, the modes are orthonormal.
        intensities: [M], km/mol; None if the model has no dipole.
        energy: of the structure, eV.
        free: whether these are all atoms of a molecule.
    """

    atoms: Atoms
    indices: NDArray[np.int64]
    hessian: Array
    frequencies: Array
    modes: Array
    intensities: Array | None
    energy: float
    free: bool

    @property
    def imaginary(self) -> int:
        """How many frequencies are imaginary: none at a minimum, one at a transition state."""
        return int((self.frequencies < 0).sum())

    @property
    def quanta(self) -> Array:
        """h ν of the modes with real frequencies, in eV."""
        return np.asarray(self.frequencies[self.frequencies > 0] * units.invcm)

    @property
    def zero_point_energy(self) -> float:
        """Half the sum of :attr:`quanta`, in eV."""
        return float(self.quanta.sum() / 2)

    def free_energy(
        self,
        temperature: float,
        pressure: float = 1.0,
        symmetry_number: int = 1,
        spin: float = 0.0,
    ) -> float:
        """Of an ideal gas of the molecule (Gibbs), or of the vibrations alone (Helmholtz).

        Modes with imaginary frequencies are left out.

        Args:
            temperature: K.
            pressure: bar, for molecules.
            symmetry_number: of a molecule, how many rotations leave it as it is.
            spin: total spin, 0 for closed shells.

        Returns:
            eV, with the energy and the zero-point energy.
        """
        if not len(self.quanta) and not self.free:
            return self.energy
        if not self.free:
            thermo = HarmonicThermo(self.quanta, self.energy)
            return float(thermo.get_helmholtz_energy(temperature, verbose=False))
        quanta = self.frequencies * units.invcm
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of the imaginary modes, which :attr:`imaginary` counts
            gas = IdealGasThermo(
                np.where(quanta > 0, quanta, 1j * np.abs(quanta)),
                ("monatomic", "linear", "nonlinear")[
                    _rotations(self.atoms) // 3 + (len(quanta) > 0)
                ],
                self.energy,
                self.atoms,
                symmetry_number,
                spin,
                ignore_imag_modes=True,
            )
        return float(gas.get_gibbs_energy(temperature, pressure * 1e5, verbose=False))

    def moving(self, mode: int, frames: int = 20, amplitude: float = 0.3) -> list[Atoms]:
        """One period of a mode, to look at.

        Args:
            mode: its number, from 0.
            frames: how many structures.
            amplitude: Å, of the atom that moves most.
        """
        shape = self.modes[mode] / np.linalg.norm(self.modes[mode], axis=1).max()
        period = []
        for phase in np.linspace(0, 2 * np.pi, frames, endpoint=False):
            atoms = self.atoms.copy()
            atoms.positions[self.indices] += amplitude * np.sin(phase) * shape
            atoms.info |= {"mode": mode + 1, "frequency": float(self.frequencies[mode])}
            period.append(atoms)
        return period


def vibrations(
    model: Model | FrozenModel, atoms: Atoms, indices: Sequence[int] | None = None
) -> Vibrations:
    """The harmonic vibrations of a structure that is at a minimum (relax it before).

    The Hessian is exact. From that of a whole molecule, translations and rotations are projected
    out; from that of a whole crystal, translations.

    Args:
        model: with an energy and forces; a dipole gives infrared intensities.
        atoms: the structure.
        indices: atoms that vibrate while the others are held, in any order; by default all.

    Raises:
        ValueError: the model predicts no forces.
        StructureError: the structure cannot be evaluated.
        IndexError: ``indices`` are not those of atoms.
    """
    frozen = FrozenModel.of(model)
    chosen = np.arange(len(atoms)) if indices is None else np.unique(indices)
    force_constants = hessian(frozen, atoms, chosen.tolist())
    frequencies, modes = normal_modes(force_constants, atoms, chosen)
    intensities = None
    if "dipole" in frozen.model.properties:
        slopes = np.einsum("xay,may->mx", dipole_derivatives(frozen, atoms)[:, chosen], modes)
        intensities = KM_PER_MOL * (slopes**2).sum(axis=1)
    (prediction,) = frozen.predict([atoms])
    return Vibrations(
        atoms.copy(),
        chosen,
        force_constants,
        frequencies,
        modes,
        intensities,
        float(prediction[str(frozen.model.energy)]),
        len(chosen) == len(atoms) and not atoms.pbc.any(),
    )


def normal_modes(
    force_constants: Array, atoms: Atoms, indices: NDArray[np.int64] | None = None
) -> tuple[Array, Array]:
    """Frequencies and modes, see :class:`Vibrations`, of a Hessian from anywhere.

    Args:
        force_constants: [n, 3, n, 3], eV/Å².
        atoms: the structure.
        indices: [n], atoms that vibrate, ascending; by default all.
    """
    chosen = np.arange(len(atoms)) if indices is None else indices
    weights = np.repeat(1 / np.sqrt(atoms.get_masses()[chosen]), 3)
    size = len(weights)
    weighted = weights[:, None] * force_constants.reshape(size, size) * weights
    kept = _internal(atoms) if len(chosen) == len(atoms) else np.eye(size)
    squares, vectors = np.linalg.eigh(kept.T @ weighted @ kept)
    modes = (weights[:, None] * (kept @ vectors)).T.reshape(-1, len(chosen), 3)
    return np.sign(squares) * np.sqrt(np.abs(squares)) * FREQUENCY, modes


def _internal(atoms: Atoms) -> Array:
    """[3 N, M], an orthonormal basis of the mass-weighted motions that are no rigid ones."""
    roots = np.sqrt(atoms.get_masses())[:, None]
    from_centre = atoms.positions - atoms.get_center_of_mass()
    rigid = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)]
    if not atoms.pbc.any():
        axes = np.linalg.eigh(from_centre.T @ from_centre)[1].T  # it extends most along the last
        off_axis = from_centre - np.outer(from_centre @ axes[2], axes[2])
        linear = np.linalg.norm(off_axis, axis=1).max() < LINEAR
        rigid += [np.cross(axis, from_centre) for axis in (axes[:2] if linear else axes)]
    basis = np.array([(roots * motion).ravel() for motion in rigid]).T
    left, sizes, _ = np.linalg.svd(basis, full_matrices=True)
    return np.asarray(left[:, int((sizes > 1e-4 * sizes.max()).sum()) :])


def _rotations(atoms: Atoms) -> int:
    """How many axes a molecule can be turned about: 0, 2 or 3."""
    return 3 * len(atoms) - 3 - _internal(atoms).shape[1]
