"""Tables, and lists of names with their values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

from molnet.report.block import Block

Value = str | int | float


@dataclass(frozen=True)
class Table(Block):
    """Rows of words and numbers.

    Args:
        header: names of the columns.
        rows: cells. Numbers are shown with four digits; write others as texts.
    """

    kind: ClassVar[str] = "table"

    header: Sequence[str]
    rows: Sequence[Sequence[Value]]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and stand to the right."""
        return numeric(self.cells) or [False] * len(self.header)

    @property
    def cells(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [[shown(value) for value in row] for row in self.rows]


@dataclass(frozen=True)
class Facts(Block):
    """Names and values side by side, such as settings or versions.

    Args:
        entries: by name. A mapping within is shown with its name in front: ``trainer.max_epochs``.
    """

    kind: ClassVar[str] = "facts"

    entries: Mapping[str, object]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Names and values as they are shown."""
        return [(name, shown(value)) for name, value in _flat(self.entries)]


def shown(value: object) -> str:
    """A value as a table shows it.

    >>> shown(0.123456), shown(12345), shown(True), shown(None), shown([1, "a"])
    ('0.1235', '12,345', 'yes', '–', '1, a')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Real):
        return f"{float(value):.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "–"
    return str(value)


def numeric(cells: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns of a table hold numbers alone.

    >>> numeric([["H2O", "1,200"], ["CH4", "–"]])
    [False, True]
    """
    return [all(map(_is_number, column)) for column in zip(*cells, strict=True)]


def _is_number(value: str) -> bool:
    try:
        float(value.replace(",", "").replace("−", "-").split(" ± ")[0])
    except ValueError:
        return value in ("", "–")
    return True


def _flat(entries: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in entries.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", None if isinstance(value, Mapping) else value))
    return rows
