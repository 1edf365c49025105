"""What structure files leave open, as settings of a command."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molnet.graph.frames import ReadingOptions


@dataclass
class ReadingConfig:
    """Settings that all commands on structure files have, see
    :class:`molnet.graph.frames.ReadingOptions`.

    The values of all settings of a command stand in its file of ``conf/``.
    """

    format: str | None
    elements: Any
    positions_unit: str | None
    disorder: str | None

    @property
    def reading(self) -> "ReadingOptions":
        """Raises ValueError for options that are not possible."""
        from molnet.graph.frames import ReadingOptions

        return ReadingOptions.of(self.format, self.elements, self.positions_unit, self.disorder)
