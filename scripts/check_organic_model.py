"""Check the bundled model against GFN2-xTB on molecules that it was not trained on.

    python scripts/make_organic_model_data.py FOLDER
    python scripts/check_organic_model.py data/models/organic FOLDER [--only errors walls ...]

Prints Markdown, the figures of the card: errors by kind, source and size; forces between all
pairs of elements at short distances; energies along bonds; twenty drug-like molecules in dynamics
at 300 K; the distance to the training set beside the true errors. "sample" writes the few held-out
frames that the tests use.
"""

import argparse
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.build import molecule as g2_molecule
from ase.data import covalent_radii
from ase.io import read
from ase.optimize import LBFGS
from sampling.distortions import bond_matrix, fragment
from sampling.labelling import label_any, numbers_of
from sampling.molecules import DRUGS, embedded, positions_of, symbols_of
from sampling.parts import frames_in
from scipy.stats import spearmanr

from molnet.models import Model, load_model
from molnet.simulate import Calculator
from molnet.simulate.dynamics import Dynamics

BROKEN = 1.5  # a bond this many times as long as in the relaxed molecule is broken
STRETCHES = (0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.4, 1.6, 2.0)  # lengths of bonds, relative
# SMILES and the two atoms; hydrogens come after the heavy atoms
BONDS = {
    "H–H": ("[H][H]", 0, 1), "C–H, methane": ("C", 0, 1), "N–H, ammonia": ("N", 0, 1),
    "O–H, water": ("O", 0, 1), "H–F": ("F", 0, 1), "C–C, ethane": ("CC", 0, 1),
    "C=C, ethene": ("C=C", 0, 1), "C≡C, ethyne": ("C#C", 0, 1), "C–N, methylamine": ("CN", 0, 1),
    "C–O, methanol": ("CO", 0, 1), "C=O, formaldehyde": ("C=O", 0, 1), "C–F": ("CF", 0, 1),
    "N–N, hydrazine": ("NN", 0, 1), "N≡N": ("N#N", 0, 1), "O–O, hydrogen peroxide": ("OO", 0, 1),
}  # fmt: skip
HOT = 1500.0  # K, of all atoms together
SAMPLE = Path(__file__).resolve().parents[1] / "tests" / "models" / "organic_held_out.extxyz"
SIZES = [1, 10, 15, 20, 25, 30, 35, 46]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the folder of a model")
    parser.add_argument("folder", type=Path, help="what make_organic_model_data.py has made")
    parser.add_argument("--picoseconds", type=float, default=5.0, help="length of the dynamics")
    parser.add_argument("--temperature", type=float, default=300.0, help="of the dynamics, K")
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
    """Langevin dynamics, in steps of 0.5 fs, of molecules that the model has not seen."""
    molecules = [relaxed(smiles, model) for smiles in DRUGS.values()]
    steps = round(arguments.picoseconds * 2000)
    temperature = arguments.temperature
    run = Dynamics(model, molecules, "langevin", temperature, steps=steps, timestep=0.5)
    walks = [Walk(atoms) for atoms in molecules]
    for step in range(1, steps + 1):
        run.step()
        if step % 10 == 0:
            for place in run.running.tolist():
                walks[place].watch(run.atoms(place))
        if step % (steps // 10) == 0:
            for place in run.running.tolist():
                walks[place].compare(run.atoms(place), model)
    yield "\n| molecule | atoms | longest bond | hottest (K) | energy MAE | forces MAE | |"
    yield "|---|---|---|---|---|---|---|"
    for name, seen in zip(DRUGS, walks, strict=True):
        yield f"| {name} | {seen} |"
    broken = sum(not seen.intact for seen in walks) + len(run.ended)
    length = f"{arguments.picoseconds:g} ps at {temperature:g} K"
    yield f"\n{broken} of {len(DRUGS)} molecules broke within {length}."


def relaxed(smiles: str, model: Model) -> Atoms:
    """A conformer of a molecule, at a minimum of the model."""
    molecule = embedded(smiles, np.random.default_rng(0))
    if molecule is None:
        raise RuntimeError(f"{smiles}: no conformer was found")
    atoms = Atoms(symbols_of(molecule), positions_of(molecule), calculator=Calculator(model))
    LBFGS(atoms, logfile=None).run(fmax=0.02, steps=500)
    return atoms


class Walk:
    """What dynamics of one molecule has shown.

    Attributes:
        stretch: the longest bond, relative to the relaxed molecule.
        temperature: the highest, K.
        energies, forces: deviations from GFN2-xTB on the way, eV per atom and mean eV/Å.
    """

    def __init__(self, atoms: Atoms) -> None:
        self.size = len(atoms)
        self.bonded = bond_matrix(atoms.numbers, atoms.positions)
        self.lengths = atoms.get_all_distances()[self.bonded]
        self.stretch = self.temperature = 0.0
        self.energies: list[float] = []
        self.forces: list[float] = []

    def watch(self, atoms: Atoms) -> None:
        """Notes the bonds and the temperature."""
        stretch = float((atoms.get_all_distances()[self.bonded] / self.lengths).max())
        self.stretch = max(self.stretch, stretch)
        self.temperature = max(self.temperature, float(atoms.get_temperature()))

    def compare(self, atoms: Atoms, model: Model) -> None:
        """Notes the errors of the model."""
        true = label_any(atoms.numbers, atoms.positions)
        if true is not None:
            predicted = quiet(model, [atoms])[0]
            self.energies.append(abs(float(predicted["energy"]) - true[0]) / len(atoms))
            self.forces.append(float(np.abs(predicted["forces"] - true[1]).mean()))

    @property
    def intact(self) -> bool:
        """Whether no bond has broken and nothing is hot."""
        return self.stretch < BROKEN and self.temperature < HOT

    def __str__(self) -> str:
        return (
            f"{self.size} | {self.stretch:.2f} | {self.temperature:.0f} "
            f"| {1e3 * np.mean(self.energies):.1f} | {1e3 * np.mean(self.forces):.0f} "
            f"| {'' if self.intact else 'broken'}"
        )


def walls(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Where two atoms of every pair of elements repel each other, about half the sum of radii."""
    yield "\n| pair | sum of radii (Å) | repel from (Å) | to (Å) | weakest force (eV/Å) |"
    yield "|---|---|---|---|---|"
    symbols = ["H", "C", "N", "O", "F"]
    for i, first in enumerate(symbols):
        for second in symbols[i:]:
            numbers = numbers_of([first, second])
            touching = float(covalent_radii[numbers].sum())
            distances = np.arange(0.1, touching, 0.02)
            pairs = [Atoms(numbers, [[0, 0, 0], [0, 0, distance]]) for distance in distances]
            force = np.array([predicted["forces"][1, 2] for predicted in quiet(model, pairs)])
            middle = int(np.searchsorted(distances, 0.5 * touching))
            below = np.flatnonzero(force[:middle] <= 0)
            above = np.flatnonzero(force[middle:] <= 0)
            start = int(below[-1]) + 1 if len(below) else 0
            end = middle + int(above[0]) if len(above) else len(force)
            if start >= end:
                yield f"| {first}–{second} | {touching:.2f} | never | | |"
                continue
            yield (
                f"| {first}–{second} | {touching:.2f} | {distances[start]:.2f} "
                f"| {distances[end - 1]:.2f} | {force[start : end - 1].min():.1f} |"
            )


def bonds(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Energies along bonds, from the repulsive wall to the broken bond, beside GFN2-xTB."""
    yield "\n| bond | " + " | ".join(f"{factor:.1f}" for factor in STRETCHES) + " |"
    yield "|---|" + "---|" * len(STRETCHES)
    for name, (smiles, i, j) in BONDS.items():
        atoms = relaxed(smiles, model)
        side = fragment(bond_matrix(atoms.numbers, atoms.positions), i, j)
        scan = []
        for factor in (1.0, *STRETCHES):
            scan.append(atoms.copy())
            bond = atoms.positions[j] - atoms.positions[i]
            scan[-1].positions[side] += (factor - 1.0) * bond
        found = np.array([float(predicted["energy"]) for predicted in quiet(model, scan)])
        labels = [label_any(a.numbers, a.positions) for a in scan]
        true = np.array([np.nan if one is None else one[0] for one in labels])
        pairs = zip(found[1:] - found[0], true[1:] - true[0], strict=True)
        yield f"| {name} | " + " | ".join(f"{a:.2f} / {b:.2f}" for a, b in pairs) + " |"


def domain(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """How the distance to the training set follows the true errors, and what lies outside."""
    frames: list[Atoms] = read(arguments.folder / "test.extxyz", ":")
    predictions = quiet(model, frames)
    distances = np.array([float(predicted["domain_distance"]) for predicted in predictions])
    wrong = [
        np.linalg.norm(predicted["forces"] - atoms.get_forces(), axis=1).max()
        for atoms, predicted in zip(frames, predictions, strict=True)
    ]
    rank = spearmanr(distances, wrong).statistic
    yield f"\nRank correlation of the distance with the largest force error: {rank:.2f}"
    outside = 100.0 * (distances > 1.0).mean()
    yield f"of {len(frames):,} held-out frames; {outside:.1f} % of them lie outside.\n"
    yield "| structure | distance |"
    yield "|---|---|"
    for name, atoms in far_outside().items():
        yield f"| {name} | {float(quiet(model, [atoms])[0]['domain_distance']):.2f} |"


def far_outside() -> dict[str, Atoms]:
    """Structures of known elements that the model cannot know."""
    fused = g2_molecule("C6H6")
    fused.positions[0] = fused.positions[1] + [0.0, 0.0, 0.2]
    placeholder = g2_molecule("H2O")
    placeholder.set_cell([1.0, 1.0, 1.0])
    placeholder.pbc = True
    return {
        "C60": g2_molecule("C60"),
        "diamond": bulk("C"),
        "water in a cell of 1 Å": placeholder,
        "benzene with two atoms 0.2 Å apart": fused,
    }


def sample(model: Model, arguments: argparse.Namespace) -> Iterator[str]:
    """Writes the first held-out frame of each kind, and one at 300 K of each drug-like molecule."""
    chosen: dict[tuple[str, str], str] = {}
    for name, kind, text in frames_in([arguments.folder / "test.extxyz"]):
        if " source=drug " not in text:
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
    "bonds": bonds,
    "dynamics": dynamics,
    "domain": domain,
    "sample": sample,
}

if __name__ == "__main__":
    main()
