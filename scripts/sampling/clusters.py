"""Several molecules beside each other, at chosen distances."""

import numpy as np
from ase.data import vdw_radii
from rdkit import Chem
from rdkit.Geometry import Point3D
from scipy.spatial.transform import Rotation

from sampling.labelling import numbers_of
from sampling.molecules import positions_of, symbols_of


def beside(fixed: Chem.Mol, moved: Chem.Mol, contact: float, rng: np.random.Generator) -> Chem.Mol:
    """Both molecules as one, the second turned at random and moved in from a random direction.

    Args:
        fixed, moved: each with one conformer.
        contact: the smallest distance between them, relative to the sum of the two atoms' van der
            Waals radii.
        rng: of the orientations.
    """
    here, there = positions_of(fixed), positions_of(moved)
    radii = [vdw_radii[numbers_of(symbols_of(molecule))] for molecule in (fixed, moved)]
    touching = contact * (radii[0][:, None] + radii[1])
    there = Rotation.random(rng=rng).apply(there - there.mean(axis=0))
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    start = here[rng.integers(len(here))]  # towards an atom, so that large molecules are not missed
    # Along the line, the last distance at which two atoms touch: roots of |v + s d|^2 = touching^2.
    separation = start + there[None] - here[:, None]
    along = separation @ direction
    inside = along**2 - (separation**2).sum(axis=-1) + touching**2
    shift = np.where(inside > 0, -along + np.sqrt(np.maximum(inside, 0.0)), -np.inf).max()
    together = Chem.CombineMols(fixed, moved)
    placed = np.concatenate([here, there + start + shift * direction])
    conformer = together.GetConformer()
    for index, position in enumerate(placed):
        conformer.SetAtomPosition(index, Point3D(*map(float, position)))
    Chem.SanitizeMol(together)
    return together
