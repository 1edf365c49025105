"""Of which compositions a model knows the zero of the energy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molnet.graph.elements import ATOMIC_NUMBERS, SYMBOLS

NOT_ALONG = 1e-6  # of a unit vector along which references are left open, per atom


class UndeterminedEnergyWarning(UserWarning):
    """The training set does not determine the sum of reference energies of a composition."""


@dataclass(frozen=True)
class Compositions:
    """The compositions of which the training set determines the sum of reference energies.

    Where all training structures are the same molecule, only the sum over that molecule is known,
    and the energy of any other composition is off by an unknown constant.

    Args:
        left_open: [k, elements], directions along which the references are not determined.
        names: of the properties that this concerns.
    """

    left_open: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, len(SYMBOLS))))
    names: tuple[str, ...] = ()

    @staticmethod
    def of(targets: Mapping[str, Mapping[str, Any]], heads: Iterable[str]) -> "Compositions":
        """What the statistics of a training set leave open, of what the heads predict."""
        rows: list[NDArray[np.float64]] = []
        names = []
        for name in heads:
            for direction in targets.get(name, {}).get("undetermined", ()):
                row = np.zeros(len(SYMBOLS))
                for symbol, value in direction.items():
                    row[ATOMIC_NUMBERS[symbol]] = value
                rows.append(row)
                names.append(name)
        return Compositions(np.stack(rows), tuple(dict.fromkeys(names))) if rows else Compositions()

    def remark(self, numbers: NDArray[np.integer]) -> str | None:
        """What to tell the user of a structure with these atoms; None if its sum is determined."""
        if not len(self.left_open):
            return None
        counts = np.bincount(numbers, minlength=len(SYMBOLS))
        if (np.abs(self.left_open @ counts) <= NOT_ALONG * len(numbers)).all():
            return None
        return (
            f"the {', '.join(self.names)} of this composition is off by an unknown constant: the "
            "training structures had too few compositions to tell the energies of the atoms apart. "
            "Forces, and differences within one composition, are not affected. To avoid this, "
            "train with energies of isolated atoms"
        )
