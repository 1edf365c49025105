"""Steps of dynamics with another package's ASE calculator, by the Python of its own environment.

    PYTHON steps_in_ase.py mace|schnetpack FILE STEPS THREADS

Prints the median milliseconds of a step for each structure of the file, as a JSON list. This file
imports nothing of molnet. The models are not trained, and their forces are scaled down, so that the
atoms keep thermal velocities.
"""

import json
import sys
import tempfile
import time
import typing
from itertools import pairwise
from pathlib import Path
from statistics import median

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet

WARM_UP = 10
TIMESTEP = 0.5  # fs
TEMPERATURE = 300.0  # K
CUTOFF = 5.0  # Å
SCALE = 1e-3  # of the energies


def median_step(atoms: Atoms, steps: int) -> float:
    """Milliseconds of a step of velocity Verlet dynamics, from thermal velocities.

    Args:
        atoms: with a calculator.
        steps: number of measured steps, of 0.5 fs, at 300 K.
    """
    spread = np.sqrt(atoms.get_masses() * units.kB * TEMPERATURE)  # Maxwell's, of momenta
    rng = np.random.default_rng(0)
    atoms.set_momenta(spread[:, None] * rng.normal(size=atoms.positions.shape))
    ends: list[float] = []
    verlet = VelocityVerlet(atoms, TIMESTEP * units.fs)
    verlet.attach(lambda: ends.append(time.perf_counter()))
    verlet.run(steps + WARM_UP)
    return 1e3 * median(after - before for before, after in pairwise(ends[WARM_UP:]))


def mace(structures: list[Atoms]) -> Calculator:
    """64 channels of l up to 1, two layers, correlation 3: the size of its small models."""
    import torch
    from e3nn.o3 import Irreps
    from mace.calculators import MACECalculator
    from mace.modules import (
        RealAgnosticInteractionBlock,
        RealAgnosticResidualInteractionBlock,
        ScaleShiftMACE,
    )

    numbers = sorted({int(number) for atoms in structures for number in atoms.numbers})
    model = ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=RealAgnosticResidualInteractionBlock,
        interaction_cls_first=RealAgnosticInteractionBlock,
        num_interactions=2,
        num_elements=len(numbers),
        hidden_irreps=Irreps("64x0e + 64x1o"),
        MLP_irreps=Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(numbers)),
        avg_num_neighbors=10.0,
        atomic_numbers=numbers,
        correlation=3,
        radial_MLP=[64, 64, 64],
        atomic_inter_scale=SCALE,
        atomic_inter_shift=0.0,
    )
    return MACECalculator(models=[model], device="cpu", default_dtype="float32")


def schnetpack(_: list[Atoms]) -> Calculator:
    """PaiNN of 128 features, three layers, 20 Gaussians, with its neighbour list for dynamics."""
    import torch
    from torch.utils.data import dataloader

    # SchNetPack, up to 2.1.1, imports a type variable that torch 2.13 has renamed.
    vars(dataloader).setdefault("T_co", typing.TypeVar("T_co"))
    import schnetpack as spk
    from schnetpack.interfaces import SpkCalculator

    model = spk.model.NeuralNetworkPotential(
        representation=spk.representation.PaiNN(
            n_atom_basis=128,
            n_interactions=3,
            radial_basis=spk.nn.GaussianRBF(n_rbf=20, cutoff=CUTOFF),
            cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=128, output_key="energy"),
            spk.atomistic.Forces(),
        ],
    )
    neighbours = spk.transform.SkinNeighborList(
        neighbor_list=spk.transform.MatScipyNeighborList(cutoff=CUTOFF), cutoff_skin=0.5
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        torch.save(model, file)
        return SpkCalculator(str(file), neighbours, energy_unit=SCALE, position_unit="Ang")


if __name__ == "__main__":
    import torch

    _, code, file, steps, threads = sys.argv
    torch.set_num_threads(int(threads))
    structures = ase.io.read(file, ":")
    times = []
    for atoms in structures:
        atoms.calc = {"mace": mace, "schnetpack": schnetpack}[code](structures)
        times.append(median_step(atoms, int(steps)))
    print(json.dumps(times))
