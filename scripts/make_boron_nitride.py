"""Make labelled structures of a solid, cubic boron nitride: energies, forces and stresses.

    pip install -e ".[organic]"
    python scripts/make_boron_nitride.py boron_nitride.extxyz
    python scripts/train.py experiment=boron_nitride dataset.path=boron_nitride.extxyz

Supercells of 54 atoms are strained at random, their atoms displaced by up to 0.15 Å (standard
deviation), and labelled with GFN1-xTB (Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13,
1989 (2017)) at the Γ point of the supercell. That is no good description of the solid, but one that
runs anywhere, with the stress as the derivative of its energy. The same seed gives the same frames.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from tblite.ase import TBLite

from molnet.progress import progress

CONSTANT = 3.61  # Å, between the minimum of GFN1-xTB and experiment's
REPEATS = 3  # of the primitive cell, along each vector
STRAIN = 0.02  # standard deviation of each component
EXPANSION = (-0.04, 0.04)  # of all lengths
DISPLACEMENT = (0.01, 0.15)  # Å, standard deviation in a frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    frames = []
    with progress("labelling", arguments.frames, "frames") as shown:
        for number in range(arguments.frames):
            frames.append(labelled(distorted(np.random.default_rng([arguments.seed, number]))))
            shown.advance()
    ase.io.write(arguments.output, frames)


def distorted(rng: np.random.Generator) -> Atoms:
    """A strained supercell with displaced atoms."""
    atoms = bulk("BN", "zincblende", CONSTANT) * (REPEATS, REPEATS, REPEATS)
    strain = rng.normal(scale=STRAIN, size=(3, 3)) + rng.uniform(*EXPANSION) * np.eye(3)
    deformation = np.eye(3) + (strain + strain.T) / 2
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    atoms.positions += rng.normal(scale=rng.uniform(*DISPLACEMENT), size=atoms.positions.shape)
    return atoms


def labelled(atoms: Atoms) -> Atoms:
    """The structure with energy (eV), forces (eV/Å) and stress (eV/Å³)."""
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.1, verbosity=0)
    results = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


if __name__ == "__main__":
    main()
