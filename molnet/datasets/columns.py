"""Which columns of structure files a store keeps, and their form on disk.

The columns of one structure are one JSON object, so that numbers and words of any kind come back
as they were; memory does not grow with the number of structures or of different words.
"""

import json
from collections.abc import Iterable, Mapping, Set

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties

from molnet.graph.columns import Column, columns_of

Arrays = dict[str, np.ndarray]

MOST = 32
"""So many columns are kept: those that come first."""


class KeptColumns:
    """The columns of structure files that a store keeps, and in how many structures each occurs.

    Attributes:
        counts: in how many structures each column occurs.
        left_out: the name of one that is beyond :data:`MOST`; None: all are kept.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.left_out: str | None = None

    def meet(self, names: Iterable[str]) -> None:
        """Take note of the columns of the frames that follow, in the order in which they occur."""
        for name in names:
            if name not in self.counts and len(self.counts) == MOST:
                self.left_out = self.left_out or name
            else:
                self.counts.setdefault(name, 0)

    def keep(self, arrays: Mapping[str, np.ndarray], counts: Mapping[str, int]) -> Arrays:
        """Structures that are kept, without the columns that are not.

        Args:
            arrays: see :meth:`molnet.datasets.rows.Rows.take`.
            counts: in how many of these structures each column occurs.
        """
        for name, count in counts.items():
            if name in self.counts:
                self.counts[name] += count
        if counts.keys() <= self.counts.keys():
            return dict(arrays)
        ends = np.cumsum(arrays["column-counts"]).tolist()
        texts = [
            packed(
                {
                    name: value
                    for name, value in unpacked(arrays["columns"][start:end]).items()
                    if name in self.counts
                }
            )
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        return {
            **arrays,
            "columns": np.frombuffer(b"".join(texts), dtype=np.uint8),
            "column-counts": np.array([len(text) for text in texts], dtype=np.int64),
        }


def columns_beside(labels: Set[str], atoms: Atoms) -> dict[str, Column]:
    """The columns of one structure.

    Args:
        labels: keys and names of labels, which are no columns; what ASE knows by name is none
            either, as readers would take it for a reference or a prediction.
        atoms: the structure.
    """
    return {
        name: value
        for name, value in columns_of(atoms).items()
        if name not in labels and name not in all_properties
    }


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
