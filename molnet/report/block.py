"""What every block of a page is, and its numbers as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

DIGITS = 6
"""Significant digits of the numbers in a page."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a section.

    Attributes:
        caption: what one sees, in a sentence.
        kind: the macro of ``page.html`` and the function of the scripts that draw the block.
        scripts: of ``assets/``, in the order in which they are needed.
    """

    kind: ClassVar[str]
    scripts: ClassVar[tuple[str, ...]] = ()

    caption: str = ""

    def data(self) -> Mapping[str, Any]:
        """What the script that draws the block is given."""
        return {}

    @property
    def remarks(self) -> str:
        """The caption, and what the block itself adds to it."""
        return self.caption

    @property
    def json(self) -> str:
        """:meth:`data`, safe within a ``script`` element."""
        text = json.dumps(plain(self.data()), ensure_ascii=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")  # nothing within can end the element


def plain(value: Any) -> Any:
    """The value as JSON can hold it: numbers with few digits, None for those not finite."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(entry) for entry in value]
    return value


def sentences(*texts: str) -> str:
    """Those that are not empty, one after the other."""
    return " ".join(text for text in texts if text)
