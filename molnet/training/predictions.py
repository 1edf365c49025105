"""Structures with reference and predicted labels as extended XYZ."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from torch import Tensor
from torch_geometric.data import Batch

from molnet.datasets.as_atoms import as_atoms
from molnet.datasets.dataset import GraphDataset
from molnet.graph.writing import ExtendedXYZ, attach


class PredictionWriter:
    """Writes the structures of a part of a data set, one batch of predictions after the other.

    References have the property's name, under which ASE finds them (``atoms.get_forces()``), and
    predictions are called ``predicted_NAME``. All values are in internal units, which the entry
    ``units`` of each frame names. Use it as a context manager.

    Args:
        path: the file; it appears when the block has ended without an error.
        part: the structures, in the order in which their predictions come.
    """

    def __init__(self, path: Path, part: GraphDataset) -> None:
        self.path = path
        self._partial = path.with_name(path.name + ".partial")
        self._part = part
        self._written = 0
        self._units = ", ".join(
            f"{name}: {entry.unit.replace('Å', 'Ang')}" for name, entry in part.properties.items()
        )

    def __enter__(self) -> Self:
        self._file = ExtendedXYZ(self._partial, {})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if kind is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink()

    def write(self, graph: Batch, predictions: Mapping[str, Tensor]) -> None:
        """Write the structures of a batch, whose labels are the references."""
        of_structures: dict[str, np.ndarray] = {}
        of_atoms: dict[str, np.ndarray] = {}
        for name, entry in self._part.properties.items():
            group = of_atoms if entry.per == "atom" else of_structures
            group[name] = graph[name].cpu().numpy()
            group[f"predicted_{name}"] = predictions[name].cpu().numpy()
        starts = graph.ptr.tolist()
        for row in range(graph.num_graphs):
            atoms = slice(starts[row], starts[row + 1])
            values = {name: values[row] for name, values in of_structures.items()}
            values |= {name: values[atoms] for name, values in of_atoms.items()}
            self._write_frame(values, of_atoms)

    def _write_frame(self, values: dict[str, np.ndarray], of_atoms: Collection[str]) -> None:
        index = int(self._part.indices[self._written])
        self._written += 1
        atoms = as_atoms(self._part.store, index)
        known = {name: value for name, value in values.items() if np.isfinite(value).any()}
        attach(atoms, known, of_atoms)
        atoms.info |= {"index": index, "units": self._units}
        self._file.write(atoms)
