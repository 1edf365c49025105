"""Make the data that the bundled model was trained on: molecules of H, C, N, O and F, GFN2-xTB.

    pip install -e ".[organic,qm9]"
    python scripts/make_organic_model_data.py FOLDER [--shards 90 --test-shards 5]

Each shard is a random sample of everything: thermal structures of QM9's molecules, of drug-like
molecules and of small ones (MMFF94 dynamics at 300 to 1000 K, GFN2-xTB relaxations), the same with
bonds stretched, compressed and twisted, with atoms rattled and all distances scaled, dimers and
clusters at many distances, molecules with two atoms far too close, pairs of atoms and atoms alone.
Labels are GFN2-xTB energies and forces.
Whole molecules are held out: FOLDER/train, FOLDER/validation and FOLDER/test hold one file for each
shard, and FOLDER/train.extxyz and so on everything. A shard that is there is not made again, so an
interrupted run continues where it was, and several processes may share the shards with --first.
"""

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, and sums in one order

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from rdkit import Chem
from sampling import molecules
from sampling.clusters import beside
from sampling.distortions import bond_matrix, pressed, rattled, scaled, stretched, twisted
from sampling.labelling import Frame, calculator, label_any, numbers_of, rounded
from sampling.molecules import embedded, part_of, positions_of, substituted, symbols_of
from sampling.motion import dynamics, known
from sampling.parts import PARTS, gather

MAX_FORCE = 50.0  # eV/Å, on any atom
MAX_FORCE_OF_CONTACTS = 100.0  # where two atoms come close on purpose
ATOMS = {"H": 1, "C": 2, "N": 3, "O": 2, "F": 1}  # their unpaired electrons

# Of each shard: molecules, and frames of each.
QM9, QM9_SUBSTITUTED, NCI, NCI_SUBSTITUTED, SMALL = 110, 25, 28, 16, 12
DIMERS, COMPLEXES, CLUSTERS, DIATOMICS = 120, 50, 25, 30
CONTACTS, CLOSE_DIATOMICS = 40, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0, help="the first shard to make")
    parser.add_argument("--shards", type=int, default=90, help="how many to make")
    parser.add_argument(
        "--test-shards", type=int, default=0, help="how many more, of which only the test is kept"
    )
    parser.add_argument("--seed", type=int, default=2024)
    arguments = parser.parse_args()
    end = arguments.first + arguments.shards
    for shard in range(arguments.first, end):
        make(arguments.folder, shard, arguments.seed, PARTS)
    for shard in range(end, end + arguments.test_shards):
        make(arguments.folder, shard, arguments.seed, ("test",))
    drug_file = arguments.folder / "test" / "drugs.extxyz"
    if not drug_file.exists():
        rng = np.random.default_rng(arguments.seed)
        listed = [(smiles, smiles) for smiles in molecules.DRUGS.values()]
        frames = [frame.extxyz() for _, frame in singles("drug", listed, 20, rng)]
        drug_file.write_text("".join(frames))
    for part, count in gather(arguments.folder).items():
        print(f"{part}.extxyz: {count:,} frames")


def make(folder: Path, shard: int, seed: int, parts: Sequence[str]) -> None:
    """Writes the files of one shard, for these parts, unless they are there."""
    files = {part: folder / part / f"{shard:03d}.extxyz" for part in parts}
    if all(file.exists() for file in files.values()):
        return
    texts: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, frame in frames_of_shard(shard, seed):
        texts[part].append(frame.extxyz())
    for part, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".partial").write_text("".join(texts[part]))
        file.with_suffix(".partial").rename(file)
    counts = ", ".join(f"{part} {len(texts[part])}" for part in parts)
    print(f"shard {shard}: {counts} frames", flush=True)


def frames_of_shard(shard: int, seed: int) -> Iterator[tuple[str, Frame]]:
    """The frames of one shard, each with the part that it belongs to."""
    rng = np.random.default_rng([seed, shard])
    qm9 = drawn(molecules.qm9(), QM9, shard, seed)
    nci = drawn(molecules.nci(), NCI, shard, seed)
    yield from singles("qm9", [(smiles, smiles) for smiles in qm9], 3, rng)
    yield from singles("qm9-substituted", variants(qm9[:QM9_SUBSTITUTED], rng), 3, rng)
    yield from singles("drug-like", [(smiles, smiles) for smiles in nci], 7, rng)
    yield from singles("drug-like-substituted", variants(nci[:NCI_SUBSTITUTED], rng), 6, rng)
    small = drawn(molecules.SMALL, SMALL, shard, seed)
    yield from singles("small", [(smiles, smiles) for smiles in small], 14, rng)
    yield from aggregates(qm9, rng)
    yield from lone_atoms()
    yield from diatomics(rng)
    yield from contacts(qm9 + nci, np.random.default_rng([seed, shard, 1]))


def drawn(listed: list[str], count: int, shard: int, seed: int) -> list[str]:
    """The next ``count`` of a shuffled list, from the start again at its end."""
    order = np.random.default_rng(seed).permutation(len(listed))
    return [
        listed[order[place % len(listed)]] for place in range(shard * count, (shard + 1) * count)
    ]


def variants(parents: list[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    """Substituted molecules, each with the parent that says which part it belongs to."""
    made = [(substituted(parent, rng), parent) for parent in parents]
    return [(smiles, parent) for smiles, parent in made if smiles is not None]


def singles(
    source: str, listed: list[tuple[str, str]], frames: int, rng: np.random.Generator
) -> Iterator[tuple[str, Frame]]:
    """Frames of single molecules: (SMILES, SMILES that decides about the part)."""
    for smiles, parent in listed:
        name, home = molecules.canonical(smiles), molecules.canonical(parent)
        if name is None or home is None or (name in molecules.drugs() and source != "drug"):
            continue
        molecule = embedded(smiles, rng)
        if molecule is None:
            continue
        symbols, part = symbols_of(molecule), part_of(home)
        for kind, positions in itertools.islice(structures(molecule, rng), frames):
            frame = labelled(name, kind, symbols, positions, source)
            if frame is not None:
                yield part, frame


def structures(molecule: Chem.Mol, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Structures of a molecule without end, each with its kind: half of them are thermal."""
    numbers, start = numbers_of(symbols_of(molecule)), positions_of(molecule)
    bonded = bond_matrix(numbers, start)
    if rng.random() < (0.9 if len(start) < 8 else 0.1):
        for positions in relaxed(numbers, start, steps=30 if len(start) < 8 else 10):
            start = positions
            yield "relaxed", positions
    thermal = start
    for number in itertools.count():
        if known(molecule):
            if number % 2 == 0:
                temperature = int(rng.choice([300, 600, 1000]))
                motion = dynamics(molecule, temperature, rng)
            thermal = next(motion)
            yield f"md{temperature}", thermal
        kind = str(rng.choice(["stretched", "stretched", "rattled", "scaled", "twisted"]))
        if kind == "stretched":
            yield kind, stretched(bonded, thermal, rng)
        elif kind == "twisted":
            yield kind, twisted(bonded, thermal, rng)
        else:
            yield kind, (rattled if kind == "rattled" else scaled)(thermal, rng)


def relaxed(numbers: np.ndarray, positions: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """The middle and the end of a GFN2-xTB relaxation of at most ``steps`` steps."""
    atoms = Atoms(numbers, positions, calculator=calculator())
    optimizer = BFGS(atoms, logfile=None)
    for wanted in (steps // 3, steps):
        try:
            optimizer.run(fmax=0.005, steps=wanted)
        except Exception as error:
            if "SCF" not in str(error) and "converge" not in str(error).lower():
                raise
            return
        yield atoms.positions.copy()


def aggregates(qm9: list[str], rng: np.random.Generator) -> Iterator[tuple[str, Frame]]:
    """Dimers at many distances, complexes after dynamics, clusters of three to six molecules."""
    hosts = [smiles for smiles in qm9 if molecules.canonical(smiles)]

    def host() -> str:
        pool = hosts if rng.random() < 0.5 else molecules.PARTNERS
        return pool[rng.integers(len(pool))]

    def partner(part: str) -> str:
        if rng.random() < 0.35:
            other = hosts[rng.integers(len(hosts))]
            if part_of(str(molecules.canonical(other))) == part:
                return other
        return molecules.PARTNERS[rng.integers(len(molecules.PARTNERS))]

    for kind, count in {"dimer": DIMERS, "complex": COMPLEXES, "cluster": CLUSTERS}.items():
        for _ in range(count):
            first = host()
            part = part_of(str(molecules.canonical(first)))
            names = [first, partner(part)]
            if kind == "cluster":
                water = rng.random() < 0.6
                names += ["O" if water else partner(part) for _ in range(rng.integers(1, 5))]
            made = [molecule for name in names if (molecule := embedded(name, rng)) is not None]
            if len(made) < len(names):
                continue
            together = made[0]
            for molecule in made[1:]:
                near = rng.uniform(0.52, 1.0) if rng.random() < 0.65 else rng.uniform(1.0, 2.2)
                together = beside(together, molecule, near if kind == "dimer" else 0.9, rng)
            if together.GetNumAtoms() > 45:
                continue
            positions = positions_of(together)
            if kind != "dimer":
                if not known(together):
                    continue
                temperature = float(rng.choice([200, 300, 600]))
                positions = next(dynamics(together, temperature, rng, relax=True))
            elif rng.random() < 0.5:
                positions = positions + rng.normal(scale=0.03, size=positions.shape)
            name = ".".join(str(molecules.canonical(name)) for name in names)
            frame = labelled(name, kind, symbols_of(together), positions, "aggregate")
            if frame is not None:
                yield part, frame


def lone_atoms() -> Iterator[tuple[str, Frame]]:
    """Atoms alone, in their ground states."""
    for symbol, unpaired in ATOMS.items():
        positions = np.zeros((1, 3))
        labels = label_any(numbers_of([symbol]), positions, unpaired)
        if labels is None:
            raise RuntimeError(f"{symbol}: the atom alone does not converge")
        name = f"[{symbol}]"
        yield "train", Frame(name, "isolated_atom", [symbol], positions, *labels, "atoms")


def diatomics(rng: np.random.Generator) -> Iterator[tuple[str, Frame]]:
    """Two atoms at 0.45 to 4 Å: the repulsive wall of every pair of elements."""
    for _ in range(DIATOMICS):
        symbols = [str(symbol) for symbol in rng.choice(list(ATOMS), size=2)]
        distance = rng.uniform(0.45, 1.6) if rng.random() < 0.7 else rng.uniform(1.6, 4.0)
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, distance]])
        frame = labelled(
            "-".join(sorted(symbols)),
            "diatomic",
            symbols,
            positions,
            "atoms",
            MAX_FORCE_OF_CONTACTS,
        )
        if frame is not None:
            yield "train", frame


def contacts(listed: list[str], rng: np.random.Generator) -> Iterator[tuple[str, Frame]]:
    """Two atoms at 0.4 to 0.8 times the sum of their radii, in molecules and alone."""
    for _ in range(CONTACTS):
        smiles = listed[rng.integers(len(listed))]
        name, molecule = molecules.canonical(smiles), embedded(smiles, rng)
        if name is None or name in molecules.drugs() or molecule is None:
            continue
        symbols = symbols_of(molecule)
        start = rattled(positions_of(molecule), rng)
        positions = pressed(numbers_of(symbols), start, rng)
        frame = labelled(name, "contact", symbols, positions, "contacts", MAX_FORCE_OF_CONTACTS)
        if frame is not None:
            yield part_of(name), frame
    for _ in range(CLOSE_DIATOMICS):
        symbols = [str(symbol) for symbol in rng.choice(list(ATOMS), size=2)]
        positions = pressed(numbers_of(symbols), np.eye(2, 3), rng)
        name = "-".join(sorted(symbols))
        frame = labelled(name, "diatomic", symbols, positions, "atoms", MAX_FORCE_OF_CONTACTS)
        if frame is not None:
            yield "train", frame


def labelled(
    name: str,
    kind: str,
    symbols: list[str],
    positions: np.ndarray,
    source: str,
    max_force: float = MAX_FORCE,
) -> Frame | None:
    """The frame, or None if it does not converge or a force is too large."""
    positions = rounded(positions)
    labels = label_any(numbers_of(symbols), positions)
    if labels is None or np.linalg.norm(labels[1], axis=1).max() > max_force:
        return None
    if name == "F":
        name = "[H]F"  # F alone is read as false
    return Frame(name, kind, symbols, positions, *labels, source)


if __name__ == "__main__":
    main()
