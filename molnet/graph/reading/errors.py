"""What is said of a structure file that cannot be read."""

from pathlib import Path


class StructureFileError(ValueError):
    """A structure file, or one frame of it, that cannot be read or is not sound."""


def frame_name(path: Path, frame: int) -> str:
    """How messages name a frame; frames are counted from 0, as ASE does."""
    return f"{path}, frame {frame}"
