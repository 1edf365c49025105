"""Checkpoint files: read whole and unchanged, or refused in one line.

PyTorch writes a zip archive, and does not compare the CRC-32 of its entries when it reads.
Comparing them here would not be enough: a flipped bit that marks an entry as a folder leaves the
CRC-32 right, and PyTorch then reads uninitialised memory. So the SHA-256 of the whole file is
appended as the comment of the archive, which zip readers ignore. As file and checksum are one file,
a kill cannot separate them.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

MARK = b"molnet sha256 "
COMMENT = len(MARK) + 64
PARTS = ("config", "state_dict", "optimizer_states", "callbacks", "loops", "epoch", "global_step")


class CheckpointError(ValueError):
    """A file is not a checkpoint from which a run can be resumed."""


def seal(path: Path) -> None:
    """Append the checksum to a checkpoint that was just written, and wait for the disk."""
    data = path.read_bytes()
    if not data.endswith(b"\0\0"):  # the length of the comment, with which an archive ends
        raise ValueError(f"expected a zip archive without a comment, got {path}")
    with open(path, "rb+") as file:
        file.seek(-2, os.SEEK_END)
        file.write(COMMENT.to_bytes(2, "little") + _comment(data[:-2]))
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint that a run has written.

    Only plain values and tensors are loaded, so a checkpoint cannot run code.

    Raises:
        CheckpointError: the file is damaged, cut, or something else.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    end = len(data) - COMMENT - 2
    if end < 0 or data[end:] != COMMENT.to_bytes(2, "little") + _comment(data[:end]):
        raise _refused(
            path,
            "it does not end with the checksum of its content: it was cut, has changed, or was "
            "written by another program",
        )
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, and advises to load what may run code
        raise _refused(path, f"PyTorch cannot read it ({type(error).__name__})") from error
    missing = [part for part in PARTS if not isinstance(content, dict) or part not in content]
    if missing:
        raise _refused(path, f"it lacks {', '.join(missing)}")
    if not isinstance(content["config"], dict):
        raise _refused(path, "it holds no settings")
    return dict(content)


def _comment(data: bytes) -> bytes:
    return MARK + hashlib.sha256(data).hexdigest().encode()


def _refused(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, or not a checkpoint of molnet: {reason}. Resume from another one, "
        "such as best.ckpt beside it, or start the run again."
    )
