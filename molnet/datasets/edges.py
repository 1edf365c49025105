"""The neighbours of every atom of a store within one cutoff, found once and kept on disk."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from molnet.datasets.arrays import GrowingArray, open_array
from molnet.datasets.cache import atomic_folder, writing
from molnet.graph import NeighboursOfMany, StructureError, find_neighbours_of_many

if TYPE_CHECKING:
    from molnet.datasets.store import ArrayStore

FORMAT_VERSION = 1
CHUNK = 20_000  # atoms whose edges are held in memory while building; at least one structure


@dataclass(frozen=True)
class EdgeTable:
    """All directed pairs of atoms closer than the cutoff, structure by structure.

    Atoms are counted from 0 within each structure; the edges of structure i are the rows
    ``offsets[i]:offsets[i + 1]``, sorted by receiver.

    Attributes:
        path: the folder of these arrays.
        cutoff: Å.
        offsets: [n + 1] int64.
        senders: [ΣE], an unsigned integer type as small as the largest structure allows.
        receivers: [ΣE], the same type.
        shifts: [ΣE, 3] int16, the cell vectors to add, r_ij = r_j − r_i + S·cell; None when no
            structure is periodic.
    """

    path: Path
    cutoff: float
    offsets: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    shifts: np.ndarray | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.path,)  # a copy in another process maps the same files


def open_edges(store: "ArrayStore", cutoff: float) -> EdgeTable:
    """The edge table of a store for a cutoff in Å; when it is not there, it is built first.

    Raises:
        ValueError: the cutoff is not positive, a structure has no neighbour list (coincident
            atoms; its number is in the message), or the kept table is damaged.
        OSError: the table cannot be written.
    """
    cutoff = float(cutoff)
    if not 0 < cutoff < np.inf:
        raise ValueError(f"expected a positive cutoff in Å, got {cutoff}")
    folder = store.path / f"edges-{cutoff!r}"
    if not folder.is_dir():
        with atomic_folder(folder) as partial:
            _build(store, cutoff, partial)
    return _open(folder)


def _open(folder: Path) -> EdgeTable:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        arrays = {
            name: open_array(folder / f"{name}.npy", entry)
            for name, entry in manifest["arrays"].items()
        }
        return EdgeTable(folder, manifest["cutoff"], shifts=arrays.pop("shifts", None), **arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"the edge table {folder} is damaged: {error}. Delete this folder; it is built again."
        ) from error


def _build(store: "ArrayStore", cutoff: float, folder: Path) -> None:
    largest = int(np.diff(store.offsets).max())
    index_type = np.min_scalar_type(largest - 1)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(GrowingArray(folder / f"{name}.npy", dtype, shape))
            for name, dtype, shape in (
                ("offsets", np.dtype(np.int64), ()),
                ("senders", index_type, ()),
                ("receivers", index_type, ()),
                ("shifts", np.dtype(np.int16), (3,)),
            )
            if name != "shifts" or store.pbc is not None
        }
        files["offsets"].append(np.zeros(1, dtype=np.int64))
        found = 0
        with tqdm(total=len(store), desc=f"neighbours within {cutoff:g} Å", unit="") as progress:
            first = 0
            while first < len(store):
                atoms_end = np.searchsorted(store.offsets, store.offsets[first] + CHUNK, "right")
                last = max(first + 1, int(atoms_end) - 1)
                edges = _neighbours(store, first, last, cutoff)
                files["offsets"].append(found + np.cumsum(edges.counts))
                found += len(edges.senders)
                for name in ("senders", "receivers", "shifts"):
                    if name in files:
                        files[name].append(getattr(edges, name))
                progress.update(last - first)
                first = last
        arrays = {name: file.finish() for name, file in files.items()}
    manifest = {"format_version": FORMAT_VERSION, "cutoff": cutoff, "arrays": arrays}
    with writing(folder.parent):
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _neighbours(store: "ArrayStore", first: int, last: int, cutoff: float) -> NeighboursOfMany:
    """The edges of the structures ``first`` to ``last - 1``."""
    offsets = store.offsets[first : last + 1]
    some = slice(first, last)
    cells = np.zeros((last - first, 3, 3)) if store.cells is None else store.cells[some]
    pbc = np.zeros((last - first, 3), dtype=bool) if store.pbc is None else store.pbc[some]
    positions = store.positions[offsets[0] : offsets[-1]]
    try:
        return find_neighbours_of_many(positions, np.diff(offsets), cells, pbc, cutoff)
    except StructureError as error:
        raise ValueError(f"structure {first + error.index} of {store.path}: {error}") from error
