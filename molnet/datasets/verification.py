"""Verifies that the arrays of a store are those that were written.

When a folder is opened for the first time, all arrays are compared with the checksums in the
manifest. ``verified.json`` beside the arrays then records size, times of change and inode of each
file. As long as these stay the same, the arrays are not compared again. A folder that cannot be
written is verified every time.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from molnet.datasets.arrays import array_checksum
from molnet.progress import progress
from molnet.stored import SEAL, check_seal, read_object, sealed, write_whole

NOTE = "verified.json"
TICK = 0.02  # seconds, longer than a tick of any system's clock
CHUNK = 1 << 20  # rows that are looked at at once


def verify(
    folder: Path,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    check: Callable[[], None],
    always: bool = False,
) -> None:
    """Compare the arrays with the manifest, unless they were verified and have not changed since.

    Args:
        folder: of the arrays.
        manifest: sealed; its ``arrays`` hold the ``sha256`` of each.
        arrays: by name.
        check: called for what a checksum cannot tell, such as the range of indices; raises
            ValueError.
        always: compare in any case.

    Raises:
        ValueError: an array has changed since it was written.
    """
    state = _state(folder, manifest, arrays)  # before reading, so that later changes are noticed
    if not always and _noted(folder) == state:
        return
    _let_the_clock_advance(state)
    size = sum(array.nbytes for array in arrays.values())
    with progress(f"verifying {folder.name}", size, "B") as shown:
        for name, array in arrays.items():
            if array_checksum(array) != manifest["arrays"][name]["sha256"]:
                raise ValueError(f"{name}.npy has changed since it was written (SHA-256)")
            shown.advance(array.nbytes)
    check()
    with suppress(OSError):  # a folder that is only read is verified each time
        write_whole(folder / NOTE, json.dumps(sealed(state)))


def check_finite(name: str, array: np.ndarray, or_nan: bool = False) -> None:
    """Raise ValueError where an array holds infinity, or NaN unless that is allowed."""
    for start in range(0, len(array), CHUNK):
        rows = array[start : start + CHUNK]
        wrong = np.isinf(rows) if or_nan else ~np.isfinite(rows)
        if wrong.any():
            row = start + int(np.argwhere(wrong)[0][0])
            raise ValueError(f"{name}.npy: expected finite numbers, got {array[row]} in row {row}")


def check_offsets(offsets: np.ndarray, total: int, least: int, name: str = "offsets") -> None:
    """Raise ValueError unless offsets rise from 0 to ``total`` by ``least`` or more."""
    in_range = offsets[0] == 0 <= offsets.min() and offsets.max() <= total == offsets[-1]
    if not in_range or (np.diff(offsets) < least).any():
        raise ValueError(f"{name}.npy: expected numbers that rise from 0 to {total}")


def count_species(species: np.ndarray) -> np.ndarray:
    """The number of atoms [256] by atomic number."""
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(species), CHUNK):
        counts += np.bincount(species[start : start + CHUNK], minlength=256)
    return counts


def _state(
    folder: Path, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    files = {}
    for name in arrays:
        status = os.stat(folder / f"{name}.npy")
        files[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return {"manifest": manifest[SEAL], "files": files}


def _let_the_clock_advance(state: Mapping[str, Any]) -> None:
    """Waits for the next tick of the file system's clock, as two changes within one look alike."""
    newest = max(changed for _, _, changed, _ in state["files"].values()) / 1e9
    since = time.time() - newest
    if 0 <= since < TICK:
        time.sleep(TICK - since)


def _noted(folder: Path) -> dict[str, Any] | None:
    try:
        noted = read_object(folder / NOTE)
        check_seal(noted, NOTE)
    except (OSError, ValueError):
        return None  # nothing is lost: the arrays are verified again
    del noted[SEAL]
    return noted
