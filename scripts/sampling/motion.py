"""Molecular dynamics with the MMFF94 force field: cheap structures for labels of another method."""

from collections.abc import Iterator

import numpy as np
from ase import units
from ase.data import atomic_masses
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from sampling.labelling import numbers_of
from sampling.molecules import positions_of, symbols_of

TIMESTEP = 0.8 * units.fs
FRICTION = 0.02 / units.fs
KCAL = units.kcal / units.mol


def dynamics(
    molecule: Chem.Mol, temperature: float, rng: np.random.Generator, relax: bool = False
) -> Iterator[np.ndarray]:
    """Positions every 60 fs of Langevin dynamics (BAOAB) with MMFF94, after 120 fs.

    Args:
        molecule: with one conformer, the start; MMFF94 must know its atoms, see :func:`known`.
        temperature: K.
        rng: of the noise.
        relax: whether up to 100 steps of relaxation come first.
    """
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
        molecule, properties, ignoreInterfragInteractions=False
    )
    field.Initialize()
    if relax:
        field.Minimize(maxIts=100)
    positions = positions_of(molecule)
    mass = atomic_masses[numbers_of(symbols_of(molecule))][:, None]
    spread = np.sqrt(units.kB * temperature / mass)
    kept = np.exp(-FRICTION * TIMESTEP)
    # twice the temperature: half of the kinetic energy becomes potential within a vibration
    velocities = np.sqrt(2.0) * spread * rng.normal(size=positions.shape)

    def push() -> np.ndarray:
        where = positions.ravel().tolist()
        field.CalcEnergy(where)  # RDKit's gradient takes its distances from the last energy
        gradient = np.array(field.CalcGrad(where)).reshape(-1, 3)
        return -0.5 * TIMESTEP * KCAL * gradient / mass

    half_push = push()
    step = 0
    while True:
        velocities += half_push
        positions = positions + 0.5 * TIMESTEP * velocities
        noise = spread * rng.normal(size=positions.shape)
        velocities = kept * velocities + np.sqrt(1.0 - kept**2) * noise
        positions = positions + 0.5 * TIMESTEP * velocities
        half_push = push()
        velocities += half_push
        step += 1
        if step >= 150 and step % 75 == 0:
            yield positions - positions.mean(axis=0)


def known(molecule: Chem.Mol) -> bool:
    """Whether MMFF94 has parameters for every atom."""
    return bool(rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule))
