"""Options for what structure files leave open."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.units import UnitError, conversion_factor

DISORDER = ("majority",)
"""The ways to order a disordered structure."""


@dataclass(frozen=True)
class ReadingOptions:
    """What the user states about structure files, where the files leave it open.

    Attributes:
        format: ASE's name of the format of all files; None: detected from suffix, name and content.
        elements: the element of each atom type (1, 2, ...), as ``["C", "H"]``, or of each name or
            type in the files, as ``{"CA": "C", "OW": "O"}``. For files that hold no elements.
        positions_unit: the unit of positions and cells in the files; None: the unit that the format
            or the file declares, otherwise Å.
        disorder: None: a structure with partly occupied sites is refused. ``"majority"``: the most
            occupied alternative of each site is taken.
    """

    format: str | None = None
    elements: tuple[tuple[str, str], ...] = ()
    positions_unit: str | None = None
    disorder: str | None = None

    @classmethod
    def of(
        cls,
        format: str | None = None,
        elements: Iterable[str] | Mapping[str | int, str] | None = None,
        positions_unit: str | None = None,
        disorder: str | None = None,
    ) -> "ReadingOptions":
        """The options as users write them, checked.

        Raises:
            ValueError: an element or the way to treat disorder is unknown.
            UnitError: a unit is unknown, or not a unit of length.
        """
        if positions_unit is not None:
            try:
                conversion_factor(positions_unit, "Å")
            except UnitError as error:
                raise UnitError(f"positions_unit: {error}") from error
        if disorder is not None and disorder not in DISORDER:
            raise ValueError(
                f"expected disorder={' or '.join(DISORDER)}, or null, got {disorder!r}"
            )
        return cls(format, _pairs(elements), positions_unit, disorder)

    def element_of(self, name: str) -> str | None:
        """The element that the user gave for a type or name in the files; None: not given."""
        return dict(self.elements).get(name)


DEFAULTS = ReadingOptions()
"""Nothing said."""


def _pairs(elements: Iterable[str] | Mapping[str | int, str] | None) -> tuple[tuple[str, str], ...]:
    if elements is None:
        return ()
    if isinstance(elements, str) or not isinstance(elements, Iterable):
        raise ValueError(f"elements: expected a list such as [C,H], got {elements!r}")
    by_name: Mapping[Any, str] = (
        elements if isinstance(elements, Mapping) else dict(enumerate(elements, start=1))
    )
    for name, symbol in by_name.items():
        if not isinstance(symbol, str) or ATOMIC_NUMBERS.get(symbol, 0) < 1:
            raise ValueError(
                f"elements: expected the symbol of an element for {name!r}, got {symbol!r}. Give "
                "them in the order of the types, elements=[C,H], or by name, elements={CA:C}"
            )
    return tuple((str(name), str(symbol)) for name, symbol in by_name.items())
