"""Arrays on disk in NumPy's own format: appended to while written, memory-mapped when read."""

import hashlib
import io
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy

from molnet.datasets.cache import writing


class GrowingArray:
    """A ``.npy`` file whose first dimension grows: memory stays constant however long it gets.

    NumPy reserves room in the header for a longer first dimension, so the header written first
    (length zero) and the one written last (the true length) have the same size.

    Args:
        path: file to write.
        dtype: type of the elements.
        shape: shape of one row.
    """

    def __init__(self, path: Path, dtype: np.typing.DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.row_shape = shape
        self.length = 0
        self.digest = hashlib.sha256()
        with writing(path.parent):
            self._file = io.BufferedWriter(io.FileIO(path, "wb"), buffer_size=1 << 20)
            self._write_header()

    def append(self, rows: np.ndarray) -> None:
        """Appends rows [n, *shape]; n may differ from call to call."""
        if rows.shape[1:] != self.row_shape:
            raise ValueError(
                f"{self.path.name}: expected rows of shape {self.row_shape}, got {rows.shape[1:]}"
            )
        data = np.ascontiguousarray(rows, dtype=self.dtype)
        self.digest.update(data.data)
        with writing(self.path.parent):
            self._file.write(data.data)
        self.length += len(rows)

    def finish(self) -> dict[str, Any]:
        """Writes the true length, waits for the disk, and returns the array's manifest entry."""
        with writing(self.path.parent):
            self._file.flush()
            self._file.seek(0)
            self._write_header()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return {
            "dtype": self.dtype.str,
            "shape": [self.length, *self.row_shape],
            "sha256": self.digest.hexdigest(),
        }

    def _write_header(self) -> None:
        npy.write_array_header_1_0(
            self._file,
            {
                "descr": npy.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.length, *self.row_shape),
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            if not self._file.closed:
                self.finish()
            return
        # Closing flushes, which fails again where the disk is full: close beneath the buffer.
        self._file.raw.close()


def open_array(path: Path, entry: dict[str, Any]) -> np.ndarray:
    """Maps an array into memory, read-only, after comparing it with its manifest entry.

    Raises:
        ValueError: the file is absent, cut short, or not what the manifest says.
    """
    expected = f"expected {tuple(entry['shape'])} of {entry['dtype']}"
    if not path.is_file():
        raise ValueError(f"{path.name} is missing ({expected})")
    shape = tuple(entry["shape"])
    if 0 in shape:
        return np.empty(shape, dtype=entry["dtype"])  # an empty file cannot be mapped
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path.name} is damaged ({expected}): {error}") from error
    if array.shape != shape or array.dtype.str != entry["dtype"]:
        raise ValueError(f"{path.name} holds {array.shape} of {array.dtype.str}, {expected}")
    # A plain array over the same map: indexing np.memmap costs several times more.
    return array.view(np.ndarray)
