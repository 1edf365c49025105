"""What structure files hold: every key with its place, count, shape and range."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from molnet.datasets.labels import places
from molnet.graph.elements import SYMBOLS
from molnet.graph.frames import ReadingOptions, read_frames
from molnet.properties import Property

LOOKED_AT = 1000
"""Frames that are looked at, in all files together."""

PLACES = ("info", "arrays", "calculator")
NO_LABELS = {"numbers", "positions", "unique_id"}
N = "N"
"""The number of atoms in a shape."""

THOMAS_FERMI = 20.91
"""eV; 20.91 Z^(7/3) is the binding energy of an atom's electrons in the Thomas–Fermi model."""


@dataclass
class Key:
    """What was found under one key.

    Attributes:
        name: the key.
        place: one of :data:`PLACES`.
        frames: that have it.
        shapes: those that occur, with :data:`N` for the number of atoms.
        low: smallest number; infinite if there are no numbers.
        high: largest number.
        squares: sum of the squares of all numbers.
        numbers: how many there are.
        texts: some of the values that are no numbers.
        of_all_electrons: sum of value / (−Σ 20.91 Z^(7/3) eV) over frames with one number.
    """

    name: str
    place: str
    frames: int = 0
    shapes: set[tuple[str | int, ...]] = field(default_factory=set)
    low: float = np.inf
    high: float = -np.inf
    squares: float = 0.0
    numbers: int = 0
    texts: set[str] = field(default_factory=set)
    of_all_electrons: float = 0.0

    @property
    def rms(self) -> float:
        """Root mean square of all numbers."""
        return (self.squares / max(self.numbers, 1)) ** 0.5

    def add(self, value: Any, atoms: Atoms, electrons: float) -> None:
        """Take in the value of one frame."""
        self.frames += 1
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "iuf" or array.dtype == object:
                raise ValueError
        except ValueError:
            if len(self.texts) < 100:
                self.texts.add(str(value))
            return
        self.shapes.add(_shape(array.shape, len(atoms), self.place == "arrays"))
        finite = array[np.isfinite(array)].astype(np.float64)
        if not finite.size:
            return
        self.low = min(self.low, float(finite.min()))
        self.high = max(self.high, float(finite.max()))
        self.squares += float(np.square(finite).sum())
        self.numbers += finite.size
        if array.size == 1:
            self.of_all_electrons += float(finite.sum()) / -electrons

    def fits(self, quantity: Property) -> bool:
        """Whether values of these shapes may be those of ``quantity``."""
        if not self.shapes:
            return False
        per_atom: tuple[str | int, ...] = (N,) if quantity.per == "atom" else ()
        size = int(np.prod(quantity.shape))
        known = {(*per_atom, *quantity.shape), (*per_atom, size)}
        if size == 1:
            known |= {per_atom, (*per_atom, 1)}
        if quantity.name == "stress":
            known.add((6,))
        return self.shapes <= known


@dataclass
class Survey:
    """What files hold, as far as they were looked at.

    Attributes:
        frames: that were looked at.
        smallest: fewest atoms in one of them.
        largest: most atoms.
        elements: that occur, by atomic number.
        keys: by name.
    """

    frames: int = 0
    smallest: int = 0
    largest: int = 0
    elements: set[int] = field(default_factory=set)
    keys: dict[str, Key] = field(default_factory=dict)

    def add(self, atoms: Atoms) -> None:
        """Take in one frame."""
        self.smallest = min(self.smallest or len(atoms), len(atoms))
        self.largest = max(self.largest, len(atoms))
        self.frames += 1
        self.elements.update(atoms.numbers.tolist())
        electrons = THOMAS_FERMI * float((atoms.numbers ** (7 / 3)).sum())
        taken: set[str] = set()
        for place, values in zip(PLACES, places(atoms), strict=False):
            for name, value in values.items():
                if value is None or name in taken or name in NO_LABELS:
                    continue
                taken.add(name)
                self.keys.setdefault(name, Key(name, place)).add(value, atoms, electrons)

    @property
    def symbols(self) -> list[str]:
        """Of the elements."""
        return [SYMBOLS[number] for number in sorted(self.elements)]


def survey(files: Sequence[Path], reading: ReadingOptions) -> Survey:
    """Look at the first frames of each file.

    Raises:
        StructureFileError: one of these frames cannot be read.
    """
    found = Survey()
    each = max(LOOKED_AT // len(files), 1)
    for file in files:
        for atoms in _first(read_frames(file, reading), each):
            found.add(atoms)
    return found


def _first(frames: Iterator[Atoms], count: int) -> Iterator[Atoms]:
    # One more frame than needed would be read by islice's caller; large frames take their time.
    for _, atoms in zip(range(count), frames, strict=False):
        yield atoms


def _shape(shape: tuple[int, ...], atoms: int, of_atoms: bool) -> tuple[str | int, ...]:
    """The shape with N for the atoms: of arrays always, otherwise of matrices with N rows."""
    is_matrix = len(shape) > 1 and shape[0] == atoms and shape != (3, 3)
    return (N, *shape[1:]) if of_atoms or is_matrix else shape
