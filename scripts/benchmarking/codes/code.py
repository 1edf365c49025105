"""What is known of a code in order to let it train with its own command and to read its errors."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

TRAINING = "../train.xyz"
VALIDATION = "../validation.xyz"
ISOLATED = "../isolated_atoms.xyz"
"""Files of the task, as seen from the folder in which a code runs."""
ENERGY, FORCES = "REF_energy", "REF_forces"
"""Keys of the labels there, in eV and eV/Å: names that ASE leaves alone."""
CUTOFF = 5.0  # Å


class Task(NamedTuple):
    """What all codes are given alike, beside the three files.

    Attributes:
        training: number of structures.
        validation: number of structures.
        references: energies of isolated atoms in eV, by symbol.
        seconds: after which training is stopped.
        threads: number of processor cores and of threads.
        seed: of weights and batches.
    """

    training: int
    validation: int
    references: Mapping[str, float]
    seconds: float
    threads: int
    seed: int = 0


class Errors(NamedTuple):
    """Root mean square errors over all validation structures.

    Attributes:
        forces: meV/Å, over all components.
        energy: meV, of total energies.
    """

    forces: float
    energy: float


class Code(NamedTuple):
    """A code, and its recipe for data such as acetylacetone or 3BPA.

    Attributes:
        name: on the command line, and of its folder.
        title: in tables and plots.
        package: the distribution that pip installs.
        recipe: the network and the optimizer in a few words.
        command: arguments for the code's Python that train; the working folder is the code's own.
        begins: part of the line that the code prints when training begins.
        log: the file in its folder that tells the errors.
        parse: reads from that file's text the errors of all validations so far, in order.
        prepare: writes into the folder what the command needs.
        environment: variables that the code needs.
    """

    name: str
    title: str
    package: str
    recipe: str
    command: Callable[[Task], list[str]]
    begins: str
    log: str
    parse: Callable[[str], list[Errors]]
    prepare: Callable[[Task, Path], None] = lambda task, folder: None
    environment: Mapping[str, str] = {}


def errors_in_csv(text: str, forces: str, energy: str, factor: float = 1.0) -> list[Errors]:
    """The errors in a table that may be under way of being written.

    Args:
        text: of the table. A last line without an end is left out, as are rows without errors.
        forces: name of the column with the errors of the forces.
        energy: likewise of the energies.
        factor: from their units to meV/Å and meV.
    """
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    return [
        Errors(factor * float(row[forces]), factor * float(row[energy]))
        for row in rows
        if row.get(forces) and row.get(energy)
    ]
