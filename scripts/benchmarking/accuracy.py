"""Errors against wall time: codes that train with the same data, cores and minutes.

Each code trains with its own command and a recipe of its own authors, one after the other. Its
errors are those that it reports of the validation structures, at the time at which it reports them,
counted from the start of its command: imports, compilation and the reading of the data count.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import numpy as np
from ase import Atoms

from benchmarking.codes.code import ENERGY, FORCES, TRAINING, VALIDATION, Code, Task
from benchmarking.curves import MINUTES, Curve, errors_after
from benchmarking.peers import MissingPeerError
from benchmarking.systems import TooFewStructuresError
from benchmarking.timing import processor
from benchmarking.training_run import TrainingError, keep_curve, kept_curve, train
from molnet.datasets.labels import parse_label_keys, read_label
from molnet.datasets.references import read_isolated_atoms
from molnet.graph.frames import StructureFileError, frame_name, read_frames, resolve_paths

LABELS = {
    "energy": {"key": "energy", "unit": "eV"},
    "forces": {"key": "forces", "unit": "eV/Å"},
}


class Contest(NamedTuple):
    """What is compared, and where.

    Attributes:
        codes: in this order.
        pythons: of codes that are not installed in this script's own environment, by name.
        more: arguments added to the commands of codes, by name.
        again: names of codes whose kept results are replaced.
        output: folder for the data, the trainings and the results.
    """

    codes: Sequence[Code]
    pythons: Mapping[str, Path]
    more: Mapping[str, Sequence[str]]
    again: Sequence[str]
    output: Path


def prepare(
    frames: Path, isolated_atoms: Path, validation: int, output: Path, minutes: float, threads: int
) -> Task:
    """Divide the structures once for all codes, and write them into the folder.

    Args:
        frames: structures with an energy in eV and forces in eV/Å.
        isolated_atoms: one atom in each frame, with its energy in eV.
        validation: number of structures that are drawn for validation; the others are trained on.
        output: the folder.
        minutes: of each training.
        threads: of each training.

    Raises:
        StructureFileError: a structure has no energy or no forces, or an element no isolated atom.
        TooFewStructuresError: there are not more structures than are validated with.
    """
    structures = [_labelled(atoms, place) for atoms, place in _all_frames(frames)]
    if not 1 <= validation < len(structures):
        raise TooFewStructuresError(
            f"expected a number of validation structures from 1 to {len(structures) - 1}, as "
            f"{frames} has {len(structures)}, got {validation}. Change --validation or --frames."
        )
    references = read_isolated_atoms(isolated_atoms, LABELS["energy"]["key"], "eV")
    missing = {s for atoms in structures for s in atoms.symbols} - references.keys()
    if missing:
        raise StructureFileError(
            f"{isolated_atoms} has no energy of {', '.join(sorted(missing))}, which occurs in "
            f"{frames}. Add a frame with that atom alone."
        )
    order = np.random.default_rng(0).permutation(len(structures))
    output.mkdir(parents=True, exist_ok=True)
    for name, chosen in (("validation", order[:validation]), ("train", order[validation:])):
        ase.io.write(output / f"{name}.xyz", [structures[i] for i in sorted(chosen)])
    atoms = [Atoms(symbol, info={ENERGY: energy}) for symbol, energy in references.items()]
    ase.io.write(output / "isolated_atoms.xyz", atoms)
    return Task(len(structures) - validation, validation, references, 60 * minutes, threads)


def compete(contest: Contest, task: Task) -> tuple[list[Curve], list[str]]:
    """Let the codes train one after the other; what is kept of earlier runs is used.

    Returns:
        The curves, and the titles of the codes whose training failed.

    Raises:
        MissingPeerError: a Python that was named is not there, or no code is installed.
        TrainingError: a kept training was made under other conditions.
    """
    ready: list[tuple[Code, str, list[str], dict[str, Any], Curve | None]] = []
    for code in contest.codes:
        python = contest.pythons.get(code.name, Path(sys.executable))
        version = _version(code, python)
        if version is None:
            print(
                f"{code.title} is left out: {code.package} is not installed for {python}. Name "
                f"its environment with --python {code.name}=PATH/bin/python."
            )
            continue
        command = [str(python), *code.command(task), *contest.more.get(code.name, [])]
        conditions = _conditions(code, version, command, task, contest.output)
        folder = contest.output / code.name
        kept = None if code.name in contest.again else kept_curve(folder, conditions)
        ready.append((code, f"{code.title} {version}", command, conditions, kept))
    if not ready:
        raise MissingPeerError("none of the codes is installed")

    curves, failures = [], []
    for code, title, command, conditions, kept in ready:
        folder = contest.output / code.name
        if kept is not None:
            print(f"{title}: kept from an earlier run in {folder}")
            curves.append(kept)
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        code.prepare(task, folder)
        print(f"{title}: {task.seconds / 60:g} min, in {folder}", flush=True)
        try:
            curve = train(code, title, command, task, folder, _Announcer())
        except TrainingError as error:
            print(f"  {error}", flush=True)
            failures.append(title)
            continue
        keep_curve(folder, conditions, curve)
        curves.append(curve)
    return curves, failures


class _Announcer:
    """Prints the errors of a training under way, when each of the table's times has passed."""

    def __init__(self) -> None:
        self._left = list(MINUTES)

    def __call__(self, curve: Curve) -> None:
        while self._left and curve.seconds >= 60 * self._left[0]:
            minutes = self._left.pop(0)
            print(f"  after {minutes:g} min: {errors_after(curve, minutes)}", flush=True)


def _all_frames(path: Path) -> list[tuple[Atoms, str]]:
    return [
        (atoms, frame_name(file, frame))
        for file in resolve_paths(path)
        for frame, atoms in enumerate(read_frames(file))
    ]


def _labelled(atoms: Atoms, place: str) -> Atoms:
    """The structure with its energy and forces alone, under names that ASE leaves alone."""
    energy, forces = (read_label(atoms, label) for label in parse_label_keys(LABELS))
    if energy is None or forces is None:
        labels = {"no energy": energy, "no forces": forces}
        raise StructureFileError(
            f"{place} has {' and '.join(name for name, value in labels.items() if value is None)}. "
            "Expected an energy in eV and forces in eV/Å under the names that ASE gives them."
        )
    periodic = {"cell": atoms.cell, "pbc": atoms.pbc} if atoms.pbc.any() else {}
    bare = Atoms(atoms.numbers, atoms.positions, info={ENERGY: float(energy)}, **periodic)
    bare.new_array(FORCES, forces)
    return bare


def _version(code: Code, python: Path) -> str | None:
    """Of the code that this Python imports; None if it has none."""
    program = f"import importlib.metadata as m; print(m.version({code.package!r}))"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True)
    except OSError as error:
        raise MissingPeerError(
            f"--python {code.name}={python} cannot be run: {error.strerror}. Name the python of "
            f"an environment with {code.package}."
        ) from error
    return done.stdout.strip() if done.returncode == 0 else None


def _conditions(
    code: Code, version: str, command: Sequence[str], task: Task, output: Path
) -> dict[str, Any]:
    data = hashlib.sha256()
    for name in (TRAINING, VALIDATION):
        data.update((output / Path(name).name).read_bytes())
    return {
        "version": version,
        "arguments": list(command[1:]),
        "seconds": task.seconds,
        "threads": task.threads,
        "processor": processor(),
        "data": data.hexdigest()[:16],
    }
