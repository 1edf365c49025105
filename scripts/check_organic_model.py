"""Check the bundled model against GFN2-xTB on molecules that it was not trained on.

    python scripts/make_organic_model_data.py FOLDER
    python scripts/check_organic_model.py data/models/organic FOLDER [--only errors walls ...]

Prints Markdown, the figures of the model's card: errors by kind, source and size; twenty drug-like
molecules in dynamics at 300 K; forces between all pairs of elements at short distances. "sample"
writes the few held-out frames that the tests use.
"""

import argparse
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.io import read
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import LBFGS
from sampling.distortions import bond_matrix
from sampling.labelling import label_any, numbers_of
from sampling.molecules import DRUGS, embedded, positions_of, symbols_of
from sampling.parts import frames_in

from molnet.models import Model, load_model
from molnet.simulate import Calculator

BROKEN = 1.5  # a bond this many times as long as in the relaxed molecule is broken
HOT = 1500.0  # K, of all atoms together
SAMPLE = Path(__file__).resolve().parents[1] / "tests" / "models" / "organic_held_out.extxyz"
SIZES = [1, 10, 15, 20, 25, 30, 35, 46]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the folder of a model")
    parser.add_argument("folder", type=Path, help="what make_organic_model_data.py has made")
    parser.add_argument("--picoseconds", type=float, default=5.0, help="length of the dynamics")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=[*CHECKS][:-1])
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    for name in arguments.only:
        started = time.perf_counter()
        for line in CHECKS[name](model, arguments):
            print(line, flush=True)
        print(f"\n({name}: {time.perf_counter() - started:.0f} s)\n", flush=True)


def errors(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Errors on the held-out molecules, by kind of structure, source and size."""
    frames: list[Atoms] = read(arguments.folder / "test.extxyz", ":")
    predictions = quiet(model, frames)
    energies, forces = [], []
    for atoms, predicted in zip(frames, predictions, strict=True):
        energies.append((float(predicted["energy"]) - atoms.get_potential_energy()) / len(atoms))
        forces.append(predicted["forces"] - atoms.get_forces())
    yield from table("all", ("all" for _ in frames), frames, energies, forces)
    yield from table("source", (a.info["source"] for a in frames), frames, energies, forces)
    yield from table("kind", (a.info["kind"] for a in frames), frames, energies, forces)
    sizes = [int(np.searchsorted(SIZES, len(atoms), side="right")) for atoms in frames]
    names = (f"{SIZES[size - 1]} to {SIZES[size] - 1}" for size in sizes)
    yield from table("atoms", names, frames, energies, forces)


def table(
    title: str,
    groups: Iterable[Hashable],
    frames: list[Atoms],
    energies: list[float],
    forces: list[np.ndarray],
) -> Iterator[str]:
    """Errors by group: mean absolute and root mean square, meV per atom and meV/Å."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    yield f"\n| {title} | molecules | frames | energy MAE | RMSE | forces MAE | RMSE | RMS force |"
    yield "|---|---|---|---|---|---|---|---|"
    for group in sorted(members, key=str):
        places = members[group]
        energy = 1e3 * np.array([energies[place] for place in places])
        force = 1e3 * np.concatenate([forces[place].ravel() for place in places])
        true = np.concatenate([frames[place].get_forces().ravel() for place in places])
        molecules = len({frames[place].info["name"] for place in places})
        yield (
            f"| {group} | {molecules} | {len(places)} "
            f"| {np.abs(energy).mean():.1f} | {rms(energy):.1f} "
            f"| {np.abs(force).mean():.0f} | {rms(force):.0f} | {1e3 * rms(true):.0f} |"
        )


def dynamics(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Langevin dynamics at 300 K of twenty molecules that the model has not seen."""
    yield "\n| molecule | atoms | longest bond | hottest (K) | energy MAE | forces MAE | |"
    yield "|---|---|---|---|---|---|---|"
    broken = 0
    for seed, (name, smiles) in enumerate(DRUGS.items()):
        rng = np.random.default_rng(seed)
        molecule = embedded(smiles, rng)
        if molecule is None:
            raise RuntimeError(f"{name}: no conformer was found")
        atoms = Atoms(symbols_of(molecule), positions_of(molecule), calculator=Calculator(model))
        LBFGS(atoms, logfile=None).run(fmax=0.02, steps=300)
        seen = walk(atoms, arguments.picoseconds, rng)
        broken += not seen.intact
        yield (
            f"| {name} | {len(atoms)} | {seen.stretch:.2f} | {seen.temperature:.0f} "
            f"| {1e3 * np.abs(seen.energies).mean():.1f} | {1e3 * np.mean(seen.forces):.0f} "
            f"| {'' if seen.intact else 'broken'} |"
        )
    yield f"\n{broken} of {len(DRUGS)} molecules broke within {arguments.picoseconds:g} ps."


@dataclass
class Walk:
    """What dynamics of one molecule has shown.

    Attributes:
        stretch: the longest bond, relative to the relaxed molecule.
        temperature: the highest, K.
        energies, forces: deviations from GFN2-xTB on the way, eV per atom and mean eV/Å.
    """

    stretch: float = 0.0
    temperature: float = 0.0
    energies: list[float] = field(default_factory=list)
    forces: list[float] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether no bond has broken and nothing is hot."""
        return self.stretch < BROKEN and self.temperature < HOT


def walk(atoms: Atoms, picoseconds: float, rng: np.random.Generator) -> Walk:
    """Langevin dynamics at 300 K in steps of 0.5 fs, compared with GFN2-xTB every tenth of it."""
    bonded = bond_matrix(atoms.numbers, atoms.positions)
    relaxed = atoms.get_all_distances()[bonded]
    MaxwellBoltzmannDistribution(atoms, temperature_K=300.0, rng=rng)
    motion = Langevin(
        atoms, 0.5 * units.fs, temperature_K=300.0, friction=0.01 / units.fs, fixcm=False, rng=rng
    )
    seen = Walk()
    blocks = round(picoseconds * 200)
    for block in range(1, blocks + 1):
        motion.run(10)
        stretch = float((atoms.get_all_distances()[bonded] / relaxed).max())
        seen.stretch = max(seen.stretch, stretch)
        seen.temperature = max(seen.temperature, float(atoms.get_temperature()))
        if not seen.intact:
            break
        if block % (blocks // 10) == 0:
            true = label_any(atoms.numbers, atoms.positions)
            if true is not None:
                seen.energies.append((atoms.get_potential_energy() - true[0]) / len(atoms))
                seen.forces.append(float(np.abs(atoms.get_forces() - true[1]).mean()))
    return seen


def walls(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """The force between two atoms of every pair of elements, from touching to a fifth of that."""
    yield "\n| pair | sum of radii (Å) | repulsive below (Å) | weakest repulsion there (eV/Å) |"
    yield "|---|---|---|---|"
    symbols = ["H", "C", "N", "O", "F"]
    for i, first in enumerate(symbols):
        for second in symbols[i:]:
            numbers = numbers_of([first, second])
            touching = float(covalent_radii[numbers].sum())
            distances = np.arange(0.2, 1.0, 0.02) * touching
            pairs = [Atoms(numbers, [[0, 0, 0], [0, 0, distance]]) for distance in distances]
            force = np.array([predicted["forces"][1, 2] for predicted in quiet(model, pairs)])
            attractive = np.flatnonzero(force <= 0)
            # the wall: from the shortest distance to the first attraction
            end = int(attractive[0]) if len(attractive) else len(force)
            weakest = force[: max(end - 1, 1)].min()
            reach = distances[max(end - 1, 0)]
            yield f"| {first}–{second} | {touching:.2f} | {reach:.2f} | {weakest:.1f} |"


def sample(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Writes the first held-out frame of each kind, and one at 300 K of each drug-like molecule."""
    chosen: dict[tuple[str, str], str] = {}
    for name, text in frames_in([arguments.folder / "test.extxyz"]):
        comment = text.splitlines()[1]
        kind = comment.split(" kind=")[1].split()[0]
        if " source=drug " not in comment:
            chosen.setdefault(("any", kind), text)
        elif kind == "md300":
            chosen.setdefault((name, kind), text)
    SAMPLE.write_text("".join(chosen.values()))
    yield f"{len(chosen)} frames in {SAMPLE}"


def quiet(model: Model, structures: list[Atoms]) -> list[dict[str, np.ndarray]]:
    """Predictions for structures that are meant to be impossible, without warnings of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.predict(structures)


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


CHECKS: dict[str, Callable[[Model, argparse.Namespace], Iterator[str]]] = {
    "errors": errors,
    "walls": walls,
    "dynamics": dynamics,
    "sample": sample,
}

if __name__ == "__main__":
    main()
