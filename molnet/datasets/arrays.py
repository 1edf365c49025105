"""Arrays on disk in NumPy's own format: appended to while written, memory-mapped when read."""

import hashlib
import io
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy

from molnet.datasets.cache import writing


class GrowingArray:
    """A ``.npy`` file whose first dimension grows, written in constant memory.

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
        self._file.write(_header(self.dtype, (self.length, *self.row_shape)))

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


def open_array(path: Path, dtype: np.typing.DTypeLike, shape: Sequence[int]) -> np.ndarray:
    """Maps an array into memory, read-only. The header is checked before anything is allocated.

    Args:
        path: a file that :class:`GrowingArray` wrote.
        dtype: what it must hold.
        shape: of the whole array.

    Raises:
        ValueError: the file is absent, cut short, or holds something else.
    """
    dtype, shape = np.dtype(dtype), tuple(shape)
    expected = f"expected {shape} of {dtype.str}"
    try:
        status = path.lstat()
    except OSError as error:
        raise ValueError(f"{path.name} is missing ({expected})") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is no regular file ({expected})")
    header = _header(dtype, shape)
    size = len(header) + math.prod(shape) * dtype.itemsize
    if status.st_size != size:
        raise ValueError(
            f"{path.name} is damaged ({expected}): it has {status.st_size:,} bytes, not {size:,}"
        )
    with open(path, "rb") as file:
        if file.read(len(header)) != header:
            raise ValueError(f"{path.name} is damaged, or holds another array ({expected})")
    if 0 in shape:
        return np.empty(shape, dtype)  # an empty array cannot be mapped
    # A plain array over the map: indexing np.memmap costs several times more.
    return np.memmap(path, dtype, "r", len(header), shape).view(np.ndarray)


def array_checksum(array: np.ndarray) -> str:
    """The SHA-256 of an array's elements, as :meth:`GrowingArray.finish` returns it."""
    return hashlib.sha256(array.data).hexdigest()


def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """The header of the file, in NumPy's format 1.0."""
    header = io.BytesIO()
    description = {
        "descr": npy.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    npy.write_array_header_1_0(header, description)
    return header.getvalue()
