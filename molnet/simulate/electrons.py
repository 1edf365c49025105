"""Warnings about charges and spins that a model does not see, once for each of them."""

import logging

from molnet.graph import StructureError, stated_spin, total_charge
from molnet.graph.frames import StructureFileError, frame_name
from molnet.models import Model
from molnet.simulate.writing import Frame

logger = logging.getLogger(__name__)


class ElectronRemarks:
    """Warns of total charges that the model was not trained on, and of spins that vary.

    A charge is logged with the first structure that has it, the spin once in all: no model sees
    the spin.

    Args:
        model: the model that predicts.
    """

    def __init__(self, model: Model) -> None:
        self.charges = model.total_charges
        self._said: set[float] = set()
        self._spin: tuple[str | None, str] | None = None  # of the first structure, and its place
        self._spins_said = False

    def add(self, frame: Frame) -> None:
        """Looks at one structure.

        Raises:
            StructureFileError: its charge or multiplicity is no number, or contradictory.
        """
        place = frame_name(frame.path, frame.number)
        try:
            charge, spin = total_charge(frame.atoms), stated_spin(frame.atoms)
        except StructureError as error:
            raise StructureFileError(f"{place}: {error}") from error
        if charge not in self._said and (remark := self.charges.remark(charge)):
            self._said.add(charge)
            logger.warning("%s: %s (reported once for each charge)", place, remark)
        first, first_place = self._spin = self._spin or (spin, place)
        if spin != first and not self._spins_said:
            self._spins_said = True
            logger.warning(
                "%s: %s, but %s in %s: the model does not see the spin",
                *(place, spin or "no spin stated", first or "none stated", first_place),
            )
