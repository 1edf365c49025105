"""The error of a structure file that cannot be read, and how messages name a frame."""

from pathlib import Path

from molnet.inputs import StructureFileError

__all__ = ["StructureFileError", "frame_name"]


def frame_name(path: Path, frame: int) -> str:
    """How messages name a frame; frames are counted from 0, as in ASE."""
    return f"{path}, frame {frame}"
