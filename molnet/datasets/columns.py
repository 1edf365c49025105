"""Which columns of structure files a store keeps, and their form on disk.

The columns of one structure are one JSON object, so that numbers and words of any kind come back
as they were; memory does not grow with the number of structures or of different words.
"""

import json
from collections.abc import Iterable, Mapping

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties

from molnet.graph.columns import Column, columns_of

MOST = 32
"""So many columns are kept: those that come first."""


class KeptColumns:
    """The columns of structure files, without labels.

    Attributes:
        counts: in how many structures each column occurs.
        left_out: the name of one that is beyond :data:`MOST`; None: all are kept.

    Args:
        labels: keys and names of labels, which are no columns; what ASE knows by name is none
            either, as readers would take it for a reference or a prediction.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self.labels = {*labels, *all_properties}
        self.counts: dict[str, int] = {}
        self.left_out: str | None = None

    def of(self, atoms: Atoms) -> dict[str, Column]:
        """The columns of one structure."""
        kept = {}
        for name, value in columns_of(atoms).items():
            if name in self.labels:
                continue
            if name not in self.counts and len(self.counts) == MOST:
                self.left_out = self.left_out or name
                continue
            self.counts.setdefault(name, 0)
            kept[name] = value
        return kept

    def count(self, columns: Mapping[str, Column]) -> None:
        """Take note of a structure that is kept."""
        for name in columns:
            self.counts[name] += 1


def packed(columns: Mapping[str, Column] | None) -> bytes:
    """The form on disk; nothing where there are no columns."""
    if not columns:
        return b""
    return json.dumps(dict(columns), separators=(",", ":"), allow_nan=False).encode("ascii")


def unpacked(text: np.ndarray) -> dict[str, Column]:
    """The columns that :func:`packed` wrote, from bytes [length] uint8.

    Raises:
        ValueError: the bytes are something else.
    """
    if not len(text):
        return {}
    columns = json.loads(text.tobytes())
    if not isinstance(columns, dict):
        raise ValueError(f"columns.npy: expected columns by name, got {columns!r:.80}")
    return columns
