"""What total charges a model knows, and what to say of others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molnet.graph import StructureError


class UnseenChargeWarning(UserWarning):
    """A structure has a total charge that no structure of the training set had."""


@dataclass(frozen=True)
class TotalCharges:
    """The total charges that a model has been trained on.

    Args:
        known: in e; None where that is not recorded.
        needed: whether predictions depend on the total charge: partial charges and dipoles do.
    """

    known: tuple[int, ...] | None
    needed: bool

    def check(self, charges: Sequence[float] | NDArray[np.floating]) -> None:
        """Refuses structures of which the charge is needed and unclear.

        Args:
            charges: of each structure, see :func:`molnet.graph.total_charge`.

        Raises:
            StructureError: ``index`` is the structure's place among them.
        """
        unclear = np.flatnonzero(np.isnan(charges))
        if self.needed and len(unclear):
            raise StructureError(
                "the total charge is needed, but all that is known are initial charges whose sum "
                "is no whole number. State it in atoms.info['charge'] (in extended XYZ charge=1 in "
                "the comment line), or remove the initial charges for a neutral structure.",
                int(unclear[0]),
            )

    def remark(self, charge: float) -> str | None:
        """What to tell the user of a structure with this total charge; None of a known one."""
        if self.known is None or np.isnan(charge) or charge in self.known:
            return None
        heeded = (
            "Partial charges and dipoles add up to it; everything else is"
            if self.needed
            else "Predictions are"
        )
        return (
            f"the total charge is {charge:+g} e, but all training structures had "
            f"{listed(self.known)} e. {heeded} as for a charge that the model was trained on"
        )


def listed(charges: Iterable[int]) -> str:
    """Charges with their signs, ``0, +1``."""
    return ", ".join(f"{charge:+d}" if charge else "0" for charge in charges)
