"""Make the bundled set of small organic molecules: data/organic/organic.extxyz.gz.

    pip install -e ".[organic]"
    python scripts/make_organic.py

Molecules of H, C, N, O and F are built from ASE's G2 geometries, relaxed with GFN2-xTB and
displaced in four ways: bonds stretched or compressed, vibrational modes excited, atoms rattled, and
molecular dynamics at 300, 600 and 1000 K. The labels of each frame are its GFN2-xTB energy and
forces (Bannwarth, Ehlert, Grimme, J. Chem. Theory Comput. 15, 1652 (2019)), from a separate
calculation at the rounded positions of the file. The same seed, machine and library versions give
the same file, byte for byte.
"""

import argparse
import gzip
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, and sums in one order

import numpy as np
from ase import Atoms, units
from ase.build import molecule as g2_molecule
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from sampling.distortions import bond_matrix, fragment
from sampling.labelling import Frame, calculator, label, rounded

from molnet.progress import progress

OUTPUT = Path(__file__).resolve().parents[1] / "data" / "organic" / "organic.extxyz.gz"

# frames of each kind, for each molecule
FRAMES = {"equilibrium": 1, "stretched": 10, "vibrated": 12, "rattled": 10}
FRAMES |= {"md300": 11, "md600": 11, "md1000": 11}
MAX_FORCE = 15.0  # eV/Å, on any atom
BOND_RANGE = (0.75, 1.35)  # allowed length of a bond, relative to the relaxed molecule
CONTACT = 1.45  # atoms that are not bonded stay further apart than this multiple of the radii

# name: molecule of ASE's G2 collection
# fmt: off
FROM_G2 = {
    "methane": "CH4", "ethane": "C2H6", "propane": "C3H8", "isobutane": "isobutane",
    "ethene": "C2H4", "propene": "C3H6_Cs", "isobutene": "isobutene", "butadiene": "butadiene",
    "ethyne": "C2H2", "propyne": "C3H4_C3v", "allene": "C3H4_D2d", "cyclopropane": "C3H6_D3h",
    "cyclobutene": "cyclobutene", "benzene": "C6H6", "water": "H2O", "methanol": "CH3OH",
    "ethanol": "CH3CH2OH", "2-propanol": "C2H6CHOH", "dimethyl ether": "CH3OCH3",
    "oxirane": "CH2OCH2", "formaldehyde": "H2CO", "acetaldehyde": "CH3CHO", "glyoxal": "OCHCHO",
    "acetone": "CH3COCH3", "ketene": "H2CCO", "formic acid": "HCOOH", "acetic acid": "CH3COOH",
    "methyl formate": "HCOOCH3", "ammonia": "NH3", "methylamine": "H3CNH2",
    "dimethylamine": "C2H6NH", "trimethylamine": "C3H9N", "aziridine": "CH2NHCH2",
    "acetonitrile": "CH3CN", "acrylonitrile": "H2CCHCN", "acetamide": "CH3CONH2",
    "nitromethane": "CH3NO2", "pyrrole": "C4H4NH", "furan": "C4H4O", "pyridine": "C5H5N",
    "hydrogen fluoride": "HF", "difluoromethane": "H2CF2", "trifluoromethane": "HCF3",
    "fluoroethene": "H2CCHF", "acetyl fluoride": "CH3COF",
}
# fmt: on

# name: two molecules, each with the group that loses a hydrogen where the new bond is made
JOINED = {
    "fluoromethane": ("methane", "CH4", "hydrogen fluoride", "FH"),
    "fluoroethane": ("ethane", "CH3", "hydrogen fluoride", "FH"),
    "2-fluoroethanol": ("ethanol", "CH3", "hydrogen fluoride", "FH"),
    "fluorobenzene": ("benzene", "CH", "hydrogen fluoride", "FH"),
    "ethylene glycol": ("ethanol", "CH3", "water", "OH2"),
    "propanal": ("acetaldehyde", "CH3", "methane", "CH4"),
    "acrolein": ("ethene", "CH2", "formaldehyde", "CH2"),
    "glycolaldehyde": ("acetaldehyde", "CH3", "water", "OH2"),
    "methyl acetate": ("methyl formate", "CH", "methane", "CH4"),
    "formamide": ("formaldehyde", "CH2", "ammonia", "NH3"),
    "N-methylformamide": ("formamide", "NH2", "methane", "CH4"),
    "urea": ("formamide", "CH", "ammonia", "NH3"),
    "glycine": ("acetic acid", "CH3", "ammonia", "NH3"),
    "propionitrile": ("acetonitrile", "CH3", "methane", "CH4"),
}

# name: molecule, group that becomes a nitrogen in place of CH, and which of those groups (from 0)
CH_TO_NITROGEN = {
    "methanimine": ("ethene", "CH2", 0),
    "pyrazole": ("pyrrole", "CH", 0),
    "imidazole": ("pyrrole", "CH", 2),
    "oxazole": ("furan", "CH", 2),
    "pyrimidine": ("pyridine", "CH", 3),
}

NAMES = [*FROM_G2, *JOINED, *CH_TO_NITROGEN]
NAMES.remove("hydrogen fluoride")  # only a part of others


def build(name: str) -> Atoms:
    """Unrelaxed geometry of the molecule called ``name`` in the tables above."""
    if name in FROM_G2:
        atoms = g2_molecule(FROM_G2[name])
        return Atoms(atoms.numbers, atoms.positions)
    if name in JOINED:
        left, left_group, right, right_group = JOINED[name]
        return join(build(left), left_group, build(right), right_group)
    parent, group, nth = CH_TO_NITROGEN[name]
    atoms = build(parent)
    heavy, hydrogen = find_group(atoms, group, nth)
    atoms.symbols[heavy] = "N"
    del atoms[hydrogen]
    return atoms


def join(left: Atoms, left_group: str, right: Atoms, right_group: str) -> Atoms:
    """One molecule from two: a hydrogen leaves each group, and a bond takes their place."""
    i, hydrogen_of_i = find_group(left, left_group)
    j, hydrogen_of_j = find_group(right, right_group)
    pivot = left.positions[i].copy()
    outwards = left.positions[hydrogen_of_i] - pivot
    outwards /= np.linalg.norm(outwards)
    right.rotate(right.positions[hydrogen_of_j] - right.positions[j], -outwards)
    length = covalent_radii[left.numbers[i]] + covalent_radii[right.numbers[j]]
    right.translate(pivot + length * outwards - right.positions[j])
    del left[hydrogen_of_i], right[hydrogen_of_j]

    def closest_contact(angle: float) -> float:
        turned = right.copy()
        turned.rotate(angle, outwards, center=pivot)
        distances = np.linalg.norm(left.positions[:, None] - turned.positions, axis=-1)
        return float(np.sort(distances, axis=None)[1])  # the shortest is the new bond

    best = max(np.arange(0.0, 360.0, 15.0), key=closest_contact)
    right.rotate(best, outwards, center=pivot)
    return left + right


def find_group(atoms: Atoms, group: str, nth: int = 0) -> tuple[int, int]:
    """Indices of the heavy atom and of one hydrogen of the ``nth`` group such as ``"CH3"``."""
    symbol, count = group[0], int(group[2:] or 1)
    bonded = bond_matrix(atoms.numbers, atoms.positions)
    hydrogen = atoms.numbers == 1
    heavy = [
        i
        for i in range(len(atoms))
        if atoms.symbols[i] == symbol and np.count_nonzero(bonded[i] & hydrogen) == count
    ]
    return heavy[nth], int(np.flatnonzero(bonded[heavy[nth]] & hydrogen)[0])


@dataclass(frozen=True)
class Molecule:
    """A relaxed molecule, and what its displaced frames are made from and compared with."""

    name: str
    atoms: Atoms
    bonded: np.ndarray  # [N, N]
    distances: np.ndarray  # [N, N], Å, at the minimum
    modes: np.ndarray  # [modes, N, 3], mass-weighted and normalised
    curvatures: np.ndarray  # [modes], eV/(amu Å²)

    @classmethod
    def relaxed(cls, name: str, rng: np.random.Generator) -> "Molecule":
        """Relax, check that a minimum with the same bonds was reached, and find its modes."""
        atoms = build(name)
        bonded = bond_matrix(atoms.numbers, atoms.positions)
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)  # leave any saddle
        atoms.calc = calculator()
        converged = BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500)
        if not converged or not np.array_equal(bonded, bond_matrix(atoms.numbers, atoms.positions)):
            raise RuntimeError(f"{name}: the relaxation did not keep the bonds that were built")
        hessian = finite_difference_hessian(atoms)
        mass = np.repeat(atoms.get_masses(), 3)
        values, vectors = np.linalg.eigh(hessian / np.sqrt(mass[:, None] * mass))
        quantum = units._hbar * 1e10 / np.sqrt(units._e * units._amu)  # ħω in eV from sqrt(values)
        wavenumbers = np.sign(values) * quantum * np.sqrt(np.abs(values)) / units.invcm
        if wavenumbers[0] < -80.0:
            raise RuntimeError(f"{name}: a saddle point, {wavenumbers[0]:.0f} cm^-1")
        internal = wavenumbers > 100.0  # not translations, rotations and free internal rotors
        modes = vectors.T[internal].reshape(-1, len(atoms), 3)
        return cls(name, atoms, bonded, atoms.get_all_distances(), modes, values[internal])

    def is_intact(self, positions: np.ndarray) -> bool:
        """Whether every bond is there and no other one has formed."""
        distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
        stretch = distances[self.bonded] / self.distances[self.bonded]
        radii = covalent_radii[self.atoms.numbers]
        # the ends of an angle in a small ring are close without a bond
        contact = np.minimum(CONTACT * (radii[:, None] + radii), 0.85 * self.distances)
        return bool(
            np.all((stretch > BOND_RANGE[0]) & (stretch < BOND_RANGE[1]))
            and np.all((distances >= contact) | self.bonded)
        )


def finite_difference_hessian(atoms: Atoms, step: float = 0.005) -> np.ndarray:
    """Second derivatives of the energy from central differences of forces: eV/Å², [3N, 3N]."""
    displaced = atoms.copy()
    displaced.calc = calculator()
    rows = []
    for atom in range(len(atoms)):
        for axis in range(3):
            forces = []
            for sign in (1, -1):
                displaced.positions = atoms.positions
                displaced.positions[atom, axis] += sign * step
                forces.append(displaced.get_forces().ravel())
            rows.append((forces[1] - forces[0]) / (2 * step))
    hessian = np.array(rows)
    return 0.5 * (hessian + hessian.T)


def stretched(molecule: Molecule, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One bond scaled by 0.85 to 1.25: the smaller side moves rigidly, a ring opens a little."""
    bonds = np.argwhere(np.triu(molecule.bonded))
    while True:
        i, j = bonds[rng.integers(len(bonds))]
        side = fragment(molecule.bonded, i, j)
        if np.count_nonzero(side) > len(side) // 2 and not side[i]:
            i, j, side = j, i, ~side
        if side[i]:  # in a ring both ends hang together: only the one atom moves
            side = np.arange(len(side)) == j
        positions = molecule.atoms.positions.copy()
        positions[side] += (rng.uniform(0.85, 1.25) - 1.0) * (positions[j] - positions[i])
        yield positions + rng.normal(scale=0.01, size=positions.shape)


def vibrated(molecule: Molecule, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All modes displaced as in a classical harmonic molecule at 100 to 1000 K."""
    root_mass = np.sqrt(molecule.atoms.get_masses())[:, None]
    while True:
        deviation = np.sqrt(units.kB * rng.uniform(100.0, 1000.0) / molecule.curvatures)
        amplitudes = deviation * rng.normal(size=len(deviation))
        yield molecule.atoms.positions + np.tensordot(amplitudes, molecule.modes, 1) / root_mass


def rattled(molecule: Molecule, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Every coordinate moved by Gaussian noise of 0.01 to 0.05 Å."""
    while True:
        noise = rng.normal(scale=rng.uniform(0.01, 0.05), size=(len(molecule.atoms), 3))
        yield molecule.atoms.positions + noise


def dynamics(
    molecule: Molecule, temperature: float, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Langevin dynamics, a frame every 24 fs after 100 fs; started again if a bond breaks."""
    while True:
        atoms = molecule.atoms.copy()
        atoms.calc = calculator()
        # twice the temperature: half of the kinetic energy becomes potential within a vibration
        MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=rng)
        motion = Langevin(
            atoms,
            timestep=0.8 * units.fs,
            temperature_K=temperature,
            friction=0.02 / units.fs,
            fixcm=False,
            rng=rng,
        )
        motion.run(125)
        while molecule.is_intact(atoms.positions):
            yield atoms.positions - atoms.get_center_of_mass()
            motion.run(30)


def frames_of(molecule: Molecule, rng: np.random.Generator) -> Iterator[Frame]:
    """All frames of a molecule: of each kind the wanted number that passes the filters."""
    sources = {
        "equilibrium": iter([molecule.atoms.positions]),
        "stretched": stretched(molecule, rng),
        "vibrated": vibrated(molecule, rng),
        "rattled": rattled(molecule, rng),
    } | {f"md{kelvin}": dynamics(molecule, kelvin, rng) for kelvin in (300, 600, 1000)}
    numbers, symbols = molecule.atoms.numbers, molecule.atoms.get_chemical_symbols()
    for kind, source in sources.items():
        wanted = FRAMES[kind]
        for positions in itertools.islice(source, 10 * wanted):
            positions = rounded(positions)
            labels = label(numbers, positions) if molecule.is_intact(positions) else None
            if labels is None or np.linalg.norm(labels[1], axis=1).max() > MAX_FORCE:
                continue
            yield Frame(molecule.name, kind, symbols, positions, *labels)
            wanted -= 1
            if wanted == 0:
                break
        else:
            raise RuntimeError(f"{molecule.name}: too few {kind} frames pass the filters")


def summary(frames: list[Frame]) -> str:
    """What was made, as Markdown for the provenance file."""
    forces = np.concatenate([frame.forces for frame in frames])
    lines = [
        f"- {len(frames)} frames of {len({frame.molecule for frame in frames})} molecules, "
        f"{sum(len(frame.symbols) for frame in frames)} atoms",
        f"- root mean square of a force component: {np.sqrt(np.mean(forces**2)):.3f} eV/Å; "
        f"largest {np.abs(forces).max():.2f} eV/Å",
        "",
        "| kind | frames | RMS force (eV/Å) | mean energy above equilibrium (eV) |",
        "|---|---|---|---|",
    ]
    lowest = {frame.molecule: frame.energy for frame in frames if frame.kind == "equilibrium"}
    for kind in FRAMES:
        group = [frame for frame in frames if frame.kind == kind]
        rms = np.sqrt(np.mean(np.concatenate([frame.forces.ravel() for frame in group]) ** 2))
        above = np.mean([frame.energy - lowest[frame.molecule] for frame in group])
        lines.append(f"| {kind} | {len(group)} | {rms:.3f} | {above:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--seed", type=int, default=2024)
    arguments = parser.parse_args()

    frames: list[Frame] = []
    with progress("labelling", len(NAMES) * sum(FRAMES.values()), "frames") as shown:
        for index, name in enumerate(NAMES):
            shown.description = f"labelling {name}"
            rng = np.random.default_rng([arguments.seed, index])
            for frame in frames_of(Molecule.relaxed(name, rng), rng):
                frames.append(frame)
                shown.advance()

    text = "".join(frame.extxyz() for frame in frames)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    # without a time stamp the same frames give the same bytes
    arguments.output.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(summary(frames))
    print(f"\nwrote {arguments.output} ({arguments.output.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
