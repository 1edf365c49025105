"""Time and memory of energy, forces and stress of boxes of water, each in a new process."""

import multiprocessing
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from benchmarking.systems import Size, make_model
from benchmarking.timing import aligned
from molnet import Calculator
from molnet.graph import find_neighbours
from molnet.kernels.allocator import reuse_freed_memory
from molnet.o3 import rand_matrix

VOLUME = 29.9  # Å³ for a molecule of water at 1 g/cm³
DISPLACEMENT = 0.01  # Å, about what a thermal atom moves in a step of dynamics


class Growth(NamedTuple):
    """Time and memory for one size.

    Attributes:
        atoms: number of atoms.
        neighbours: mean number per atom.
        first: seconds for the first evaluation of the box.
        next: median seconds of later evaluations, each after a small move of all atoms.
        memory: peak memory of the process above that for a box of 81 atoms, bytes per atom.
    """

    atoms: int
    neighbours: float
    first: float
    next: float
    memory: float

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return self._asdict()


def scaling(
    sizes: Sequence[int], size: Size, dtype: torch.dtype, threads: int, repeats: int
) -> Iterator[Growth]:
    """Measure boxes of about ``sizes`` atoms."""
    for atoms in sizes:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            yield process.submit(measure_box, atoms, size, dtype, threads, repeats).result()


def measure_box(number: int, size: Size, dtype: torch.dtype, threads: int, repeats: int) -> Growth:
    """Evaluate a box of about ``number`` atoms in this process, which must be a new one."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    reuse_freed_memory()
    rng = np.random.default_rng(0)
    small = water(3)
    calculator = Calculator(make_model([small], size, dtype, forces=True).eval())
    evaluate(small, calculator)  # compiles the kernels, and fills all caches
    before = peak_memory()

    box = water(max(round((number / 3) ** (1 / 3)), 1))
    edges = len(find_neighbours(box.positions, box.cell.array, box.pbc, size.cutoff).senders)
    times = []
    for _ in range(repeats + 1):
        times.append(evaluate(box, calculator))
        box.positions += rng.normal(scale=DISPLACEMENT, size=box.positions.shape)
    memory = peak_memory() - before
    return Growth(len(box), edges / len(box), times[0], median(times[1:]), memory / len(box))


def evaluate(atoms: Atoms, calculator: Calculator) -> float:
    """Seconds for energy, forces and stress."""
    atoms.calc = calculator
    start = time.perf_counter()
    atoms.get_forces()
    return time.perf_counter() - start


def water(repeat: int) -> Atoms:
    """A periodic box of repeat³ randomly oriented molecules on a lattice, at 1 g/cm³."""
    single = molecule("H2O")
    centred = single.positions - single.get_center_of_mass()
    step = VOLUME ** (1 / 3)
    places = step * (np.indices(3 * [repeat]).reshape(3, -1).T + 0.5)  # (molecules, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the same box at every call
        turns = rand_matrix(len(places), dtype=torch.float64).numpy()  # (molecules, 3, 3)
    positions = places[:, None] + np.einsum("mxy,ay->max", turns, centred)
    return Atoms(
        numbers=np.tile(single.numbers, len(places)),
        positions=positions.reshape(-1, 3),
        cell=3 * [repeat * step],
        pbc=True,
    )


def peak_memory() -> int:
    """Peak memory of this process so far, in bytes."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak


def growth_table(rows: Sequence[Growth]) -> str:
    """One line for each size."""
    cells = [["atoms", "neighbours", "first s", "next s", "next µs/atom", "memory kB/atom"]]
    for row in rows:
        cells.append(
            [
                str(row.atoms),
                f"{row.neighbours:.1f}",
                f"{row.first:.3f}",
                f"{row.next:.3f}",
                f"{1e6 * row.next / row.atoms:.1f}",
                f"{row.memory / 1e3:.1f}",
            ]
        )
    return aligned(cells)
