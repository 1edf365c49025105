"""Labels of a structure with GFN2-xTB, and the frame that holds them.

C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
"""

from dataclasses import dataclass

import numpy as np
from ase import units
from ase.data import atomic_numbers
from tblite.ase import TBLite
from tblite.interface import Calculator as SinglePoint
from tblite.interface import Result

METHOD = "GFN2-xTB"
MAX_OPEN_SHELL = 0.02  # allowed deviation of an orbital's occupation from 0 or 2


def calculator() -> TBLite:
    """A fresh GFN2-xTB calculator for relaxation and dynamics."""
    return TBLite(method=METHOD, charge=0, multiplicity=1, verbosity=0)


def label(numbers: np.ndarray, positions: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Energy (eV) and forces (eV/Å); None unless it converges to a closed-shell singlet."""
    result = _single_point(numbers, positions, unpaired=0, accuracy=0.01)
    if result is None:
        return None
    occupations = result.get("orbital-occupations")
    if np.any(np.minimum(np.abs(occupations), np.abs(occupations - 2.0)) > MAX_OPEN_SHELL):
        return None
    return _labels(result)


def label_any(
    numbers: np.ndarray, positions: np.ndarray, unpaired: int | None = None
) -> tuple[float, np.ndarray] | None:
    """Energy (eV) and forces (eV/Å) at an electronic temperature of 300 K; None if not converged.

    Args:
        numbers: [N].
        positions: [N, 3], Å.
        unpaired: number of unpaired electrons; None takes the smallest possible, 0 or 1.
    """
    if unpaired is None:
        unpaired = int(numbers.sum()) % 2
    result = _single_point(numbers, positions, unpaired, accuracy=0.1)
    return None if result is None else _labels(result)


def _single_point(
    numbers: np.ndarray, positions: np.ndarray, unpaired: int, accuracy: float
) -> Result | None:
    single_point = SinglePoint(METHOD, numbers, positions / units.Bohr, charge=0, uhf=unpaired)
    single_point.set("verbosity", 0)
    single_point.set("accuracy", accuracy)  # 0.01: self-consistent to 1e-8 Hartree
    try:
        return single_point.singlepoint()
    except RuntimeError:  # tblite's error when the self-consistent cycle does not converge
        return None


def _labels(result: Result) -> tuple[float, np.ndarray]:
    forces = -result.get("gradient") * units.Hartree / units.Bohr
    return float(result.get("energy") * units.Hartree), forces


@dataclass(frozen=True)
class Frame:
    """A labelled structure."""

    molecule: str
    kind: str
    symbols: list[str]
    positions: np.ndarray  # Å
    energy: float  # eV
    forces: np.ndarray  # eV/Å
    source: str = ""  # where the molecule is from, if there are several sources

    def extxyz(self) -> str:
        """The frame as extended XYZ, to 1e-5 Å, 1e-6 eV and 1e-5 eV/Å."""
        comment = (
            "Properties=species:S:1:pos:R:3:forces:R:3 "
            f'energy={self.energy:.6f} name="{self.molecule}" kind={self.kind}'
            f'{f" source={self.source}" if self.source else ""} pbc="F F F"'
        )
        rows = zip(self.symbols, self.positions, self.forces, strict=True)
        lines = [
            symbol + "".join(f" {value:.5f}" for value in (*position, *force))
            for symbol, position, force in rows
        ]
        return "\n".join([str(len(lines)), comment, *lines]) + "\n"


def rounded(positions: np.ndarray) -> np.ndarray:
    """Positions as the file will hold them: labels must be those of the rounded structure."""
    return np.round(positions, 5) + 0.0


def numbers_of(symbols: list[str]) -> np.ndarray:
    """Atomic numbers [N] of chemical symbols."""
    return np.array([atomic_numbers[symbol] for symbol in symbols])
