"""Molecular dynamics of single molecules, as ASE runs it, with molnet and with other packages."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import ase.io
from ase import Atoms
from torch import Tensor

from benchmarking.codes import steps_in_ase
from benchmarking.codes.steps_in_ase import WARM_UP, median_step
from benchmarking.timing import Timing
from molnet import Calculator
from molnet.graph.container import Graph
from molnet.models import Model

PEERS = {"mace": "MACE", "schnetpack": "PaiNN"}
"""Titles of the other packages, by their name on the command line."""


class CodeError(RuntimeError):
    """Another package's dynamics failed."""


def dynamics(
    model: Model,
    structures: Sequence[Atoms],
    steps: int,
    peers: Mapping[str, Path],
    threads: int,
) -> list[Timing]:
    """Median time of a step of velocity Verlet dynamics, and of molnet's model within the step.

    Args:
        model: has energies and forces.
        structures: molecules; one line each.
        steps: number of measured steps, of 0.5 fs, from 300 K.
        peers: the Python of the environment of each other package, by its name.
        threads: of the other packages.

    Raises:
        CodeError: another package failed.
    """
    columns: dict[str, list[float]] = {"molnet": [], "its model": []}
    for atoms in structures:
        step, of_model = _of_molnet(model, atoms.copy(), steps)
        columns["molnet"].append(step)
        columns["its model"].append(of_model)
    for name, python in peers.items():
        columns[PEERS[name]] = _of_peer(name, python, structures, steps, threads)
    rows = zip(*columns.values(), strict=True)
    return [
        Timing(
            f"{atoms.get_chemical_formula()}, {len(atoms)} atoms",
            dict(zip(columns, times, strict=True)),
        )
        for atoms, times in zip(structures, rows, strict=True)
    ]


def _of_molnet(model: Model, atoms: Atoms, steps: int) -> tuple[float, float]:
    """Milliseconds of a step, and of the model in it."""
    atoms.calc = Calculator(model.eval())
    times: list[float] = []
    evaluate = atoms.calc.frozen

    def timed(graph: Graph, measure: bool = False) -> dict[str, Tensor]:
        started = time.perf_counter()
        outputs = evaluate(graph, measure)
        times.append(time.perf_counter() - started)
        return outputs

    atoms.calc.frozen = timed
    return median_step(atoms, steps), 1e3 * median(times[WARM_UP:])


def _of_peer(
    name: str, python: Path, structures: Sequence[Atoms], steps: int, threads: int
) -> list[float]:
    """Milliseconds of a step with another package's calculator, for each structure."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "structures.extxyz"
        ase.io.write(file, structures)
        # -P: the neighbours of the script have the names of packages.
        command = [python, "-P", steps_in_ase.__file__, name, file, str(steps), str(threads)]
        # e3nn 0.4 loads its constants in a way that newer versions of PyTorch refuse by default.
        environment = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "OMP_NUM_THREADS": str(threads)}
        ended = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
    if ended.returncode:
        raise CodeError(f"dynamics with {PEERS[name]}, by {python}: {ended.stderr.strip()[-2000:]}")
    times: list[float] = json.loads(ended.stdout.splitlines()[-1])
    return times
