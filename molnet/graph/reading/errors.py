"""The error of a structure file that cannot be read, and how messages name a frame."""

from pathlib import Path


class StructureFileError(ValueError):
    """A structure file, or one frame of it, cannot be read or is not valid."""


def frame_name(path: Path, frame: int) -> str:
    """How messages name a frame; frames are counted from 0, as in ASE."""
    return f"{path}, frame {frame}"
