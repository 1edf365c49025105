"""Structures with reference and predicted labels as extended XYZ."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from torch import Tensor
from torch_geometric.data import Batch

from molnet.datasets.dataset import GraphDataset
from molnet.graph.elements import SYMBOLS


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
        self._file = self._partial.open("w", encoding="utf-8")
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
            self._write_frame(
                {name: values[row] for name, values in of_structures.items()},
                {name: values[atoms] for name, values in of_atoms.items()},
            )

    def _write_frame(self, info: dict[str, np.ndarray], columns: dict[str, np.ndarray]) -> None:
        store, index = self._part.store, int(self._part.indices[self._written])
        self._written += 1
        atoms = slice(int(store.offsets[index]), int(store.offsets[index + 1]))
        symbols = [SYMBOLS[number] for number in store.species[atoms]]
        blocks = {"pos": store.positions[atoms]} | {
            name: values.reshape(len(symbols), -1) for name, values in columns.items()
        }
        layout = ":".join(f"{name}:R:{block.shape[1]}" for name, block in blocks.items())
        comment = [f"Properties=species:S:1:{layout}"]
        if store.pbc is not None and store.cells is not None and store.pbc[index].any():
            comment.append(f'Lattice="{_numbers(store.cells[index])}"')
            comment.append(f'pbc="{" ".join("FT"[int(flag)] for flag in store.pbc[index])}"')
        else:
            comment.append('pbc="F F F"')
        if store.charge is not None:
            comment.append(f"charge={int(store.charge[index])}")
        comment += [
            f'{name}="{_numbers(value)}"' if value.ndim else f"{name}={_numbers(value)}"
            for name, value in info.items()
            if np.isfinite(value).all()
        ]
        comment.append(f'index={index} units="{self._units}"')
        rows = np.concatenate(list(blocks.values()), axis=1).tolist()
        self._file.write(f"{len(symbols)}\n{' '.join(comment)}\n")
        self._file.writelines(
            f"{symbol:<2} {' '.join(f'{number:.8f}' for number in row)}\n"
            for symbol, row in zip(symbols, rows, strict=True)
        )


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{number:.12g}" for number in np.ravel(values))
