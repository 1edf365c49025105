"""The neighbours of every atom of a store within one cutoff, found once and kept on disk."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molnet.datasets import verification
from molnet.datasets.arrays import GrowingArray, open_array
from molnet.datasets.cache import atomic_folder, writing
from molnet.datasets.manifest import StoreError
from molnet.graph import NeighboursOfMany, StructureError, find_neighbours_of_many
from molnet.progress import progress
from molnet.stored import check_seal, read_object, sealed, write_whole

if TYPE_CHECKING:
    from molnet.datasets.store import ArrayStore

FORMAT_VERSION = 2
INDEX_TYPES = {np.dtype(kind).str: np.dtype(kind) for kind in (np.uint8, np.uint16, np.uint32)}
EDGES = 1_000_000  # that are looked at at once when a table is verified; at least one structure's
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
        return _mapped, (self.path,)  # a copy in another process maps the same files


def open_edges(store: "ArrayStore", cutoff: float, verify: bool = False) -> EdgeTable:
    """The edge table of a store for a cutoff in Å; built first if it does not exist.

    The table is verified like the store itself.

    Args:
        store: opened.
        cutoff: Å.
        verify: compare the checksums in any case.

    Raises:
        StoreError: the table is damaged, or belongs to another store.
        ValueError: the cutoff is not positive, or a structure has no neighbour list (coincident
            atoms; its number is in the message).
        OSError: the table cannot be written.
    """
    if not 0 < cutoff < np.inf:
        raise ValueError(f"expected a positive cutoff in Å, got {cutoff}")
    folder = store.path / f"edges-{cutoff!r}"
    if not folder.is_dir():
        with atomic_folder(folder) as partial:
            _build(store, cutoff, partial)
    with _damage_explained(folder):
        table, manifest = _mapped(folder), _read_manifest(folder)
        if (manifest["store"], table.cutoff) != (store.checksum, cutoff):
            raise ValueError(
                f"manifest.json describes edges within {table.cutoff} Å of the store "
                f"{str(manifest['store'])[:16]}..., expected {cutoff} Å and "
                f"{store.checksum[:16]}..."
            )
        arrays = {name: getattr(table, name) for name in manifest["arrays"]}
        verification.verify(folder, manifest, arrays, lambda: _check(table, store), always=verify)
    return table


def _mapped(folder: Path) -> EdgeTable:
    """The table, opened without verification."""
    with _damage_explained(folder):
        manifest = _read_manifest(folder)
        entries = manifest["arrays"]
        edges, structures = manifest["edges"], manifest["structures"]
        index_type = INDEX_TYPES[entries["senders"]["dtype"]]
        arrays = {
            name: open_array(folder / f"{name}.npy", dtype, shape)
            for name, (dtype, shape) in _layout(structures, edges, index_type).items()
            if name in entries
        }
        return EdgeTable(folder, manifest["cutoff"], shifts=arrays.pop("shifts", None), **arrays)


def _layout(
    structures: int, edges: int, index_type: np.dtype
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and shape of each array."""
    return {
        "offsets": (np.dtype(np.int64), (structures + 1,)),
        "senders": (index_type, (edges,)),
        "receivers": (index_type, (edges,)),
        "shifts": (np.dtype(np.int16), (edges, 3)),
    }


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest = read_object(folder / "manifest.json")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"its format version is {manifest.get('format_version')}, expected {FORMAT_VERSION}"
        )
    check_seal(manifest, "manifest.json")
    return manifest


@contextmanager
def _damage_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the edge table {folder} is damaged: {error}. Delete this folder; it is built again."
        ) from error


def _check(table: EdgeTable, store: "ArrayStore") -> None:
    """Checks that indices are in range and receivers ascend: the kernels rely on both."""
    if len(table.offsets) != len(store.offsets) or (table.shifts is None) != (store.pbc is None):
        raise ValueError("the table is not one of this store")
    verification.check_offsets(table.offsets, len(table.senders), least=0)
    first = 0
    while first < len(store):
        end = int(np.searchsorted(table.offsets, table.offsets[first] + EDGES, "right"))
        last = min(max(first + 1, end - 1), len(store))
        atoms = np.diff(store.offsets[first : last + 1])
        offsets = table.offsets[first : last + 1]
        owner = np.repeat(np.arange(len(atoms)), np.diff(offsets))  # structure of each edge
        some = slice(offsets[0], offsets[-1])
        senders, receivers = table.senders[some], table.receivers[some]
        for name, indices in (("senders", senders), ("receivers", receivers)):
            if (indices >= atoms[owner]).any():
                raise ValueError(f"{name}.npy holds atoms that their structures do not have")
        if (np.diff(owner * atoms.max() + receivers) < 0).any():
            raise ValueError("receivers.npy: expected receivers that ascend in each structure")
        first = last


def _build(store: "ArrayStore", cutoff: float, folder: Path) -> None:
    largest = int(np.diff(store.offsets).max())
    index_type = np.min_scalar_type(largest - 1)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(GrowingArray(folder / f"{name}.npy", dtype, tuple(rows)))
            for name, (dtype, (_, *rows)) in _layout(0, 0, index_type).items()
            if name != "shifts" or store.pbc is not None
        }
        files["offsets"].append(np.zeros(1, dtype=np.int64))
        found = 0
        with progress(f"neighbours within {cutoff:g} Å", len(store), "structures") as shown:
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
                shown.advance(last - first)
                first = last
        arrays = {name: file.finish() for name, file in files.items()}
    manifest = {
        "format_version": FORMAT_VERSION,
        "store": store.checksum,
        "structures": len(store),
        "edges": found,
        "cutoff": cutoff,
        "arrays": arrays,
    }
    with writing(folder.parent):
        write_whole(folder / "manifest.json", json.dumps(sealed(manifest), indent=1))


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
