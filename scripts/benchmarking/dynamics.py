"""Molecular dynamics of one molecule, as ASE runs it."""

import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import cast

import numpy as np
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from torch import Tensor

from benchmarking.systems import Size, make_model
from benchmarking.timing import Timing
from molnet import Calculator
from molnet.graph.container import Graph
from molnet.models.heads import Extensive

WARM_UP = 10
TIMESTEP = 0.5  # fs
TEMPERATURE = 300.0  # K


def dynamics(structures: Sequence[Atoms], size: Size, dtype: torch.dtype, steps: int) -> Timing:
    """Median time of a step of velocity Verlet dynamics, and of the model within the step.

    The model is not trained, and its forces are scaled down, so that the atoms keep thermal
    velocities.

    Args:
        structures: the first one is used.
        size: of the network.
        dtype: of the model.
        steps: number of measured steps, of 0.5 fs, at 300 K.
    """
    model = make_model(structures, size, dtype, forces=True)
    cast(Extensive, model.heads["energy"]).scale = 1e-3
    atoms = structures[0].copy()
    atoms.calc = Calculator(model.eval())
    spread = np.sqrt(atoms.get_masses() * units.kB * TEMPERATURE)  # Maxwell's, of momenta
    rng = np.random.default_rng(0)
    atoms.set_momenta(spread[:, None] * rng.normal(size=atoms.positions.shape))

    model_times: list[float] = []
    evaluate = atoms.calc.frozen

    def timed(graph: Graph, measure: bool = False) -> dict[str, Tensor]:
        started = time.perf_counter()
        outputs = evaluate(graph, measure)
        model_times.append(time.perf_counter() - started)
        return outputs

    atoms.calc.frozen = timed
    ends: list[float] = []
    verlet = VelocityVerlet(atoms, TIMESTEP * units.fs)
    verlet.attach(lambda: ends.append(time.perf_counter()))
    verlet.run(steps + WARM_UP)
    step_times = [after - before for before, after in pairwise(ends)]
    return Timing(
        f"step of dynamics, {len(atoms)} atoms",
        {
            "whole": 1e3 * median(step_times[WARM_UP:]),
            "model": 1e3 * median(model_times[-steps:]),
        },
    )
