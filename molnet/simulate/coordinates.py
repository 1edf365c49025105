"""What a relaxation moves: the atoms of many structures and, if asked for, their cells.

A cell that moves is C = C₀ G with the deformation G, and an atom is at r = q G. The rows of q and
of n G, for n atoms, are the coordinates: so cells and atoms are about equally stiff (Tadmor,
Smith, Bernstein, Kaxiras, Phys. Rev. B 59, 235 (1999)). The gradients are ∂E/∂q = −f Gᵀ and
∂E/∂G = G⁻ᵀ V (σ + p).
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molnet.graph import StructureError
from molnet.simulate.constraints import Constraints
from molnet.simulate.lbfgs import Solve
from molnet.simulate.many import Evaluation, Many
from molnet.simulate.model_hessian import model_hessians, solver

Array = NDArray[np.float64]
CellMotion = Literal["fixed", "volume", "hydrostatic", "full"]
"""How a cell moves: not; keeping its volume; keeping its shape; freely."""

CELL_STIFFNESS = 70.0
"""eV/Å², a guess of the second derivatives by the rows of a cell: that of a bond."""


class Coordinates:
    """Coordinates of G structures: rows for each atom and, if cells move, three for each cell.

    Args:
        many: the structures as they are at first, with their constraints.
        cell: how the cells move.
        pressure: p in eV/Å³, for cells that move.

    Attributes:
        rows: [G], rows of each structure.

    Raises:
        StructureError: a cell should move and the structure is not periodic in three directions;
            ``index`` is its place.
    """

    def __init__(self, many: Many, cell: CellMotion = "fixed", pressure: float = 0.0) -> None:
        if cell not in get_args(CellMotion):
            raise ValueError(f"expected cell={'|'.join(get_args(CellMotion))}, received {cell!r}")
        if pressure and cell not in ("hydrostatic", "full"):
            raise ValueError(
                f"a pressure needs cell=hydrostatic or full, received cell={cell}, "
                "which keeps the volume"
            )
        self.many, self.cell, self.pressure = many, cell, pressure
        self._cells = many.cells.copy()
        moves = cell != "fixed"
        if moves and not many.pbc.all():
            place = int(np.flatnonzero(~many.pbc.all(axis=1))[0])
            raise StructureError(
                "the cell cannot be relaxed: it is not periodic in three directions, "
                f"pbc={many.pbc[place].tolist()}. Relax it with cell=fixed.",
                place,
            )
        self.rows = many.counts + (3 if moves else 0)
        first = np.cumsum(self.rows) - self.rows
        self._of_atoms = np.arange(len(many.numbers)) + np.repeat(first - many.first, many.counts)
        self._of_cells = (first + many.counts)[:, None] + np.arange(3) if moves else None
        self._constraints = Constraints(many)

    def start(self) -> Array:
        """[rows, 3], the structures as they are at first."""
        rows = np.zeros((int(self.rows.sum()), 3))
        rows[self._of_atoms] = self.many.positions
        if self._of_cells is not None:
            rows[self._of_cells] = self.many.counts[:, None, None] * np.eye(3)
        return rows

    def solvers(self) -> list[Solve]:
        """For each structure, a guess of the second derivatives by its rows, to be inverted.

        Raises:
            StructureError: two atoms are in one place, or a cell is not valid; ``index`` is the
                place of the structure.
        """
        of_atoms = [solver(hessian) for hessian in model_hessians(self.many)]
        return of_atoms if self._of_cells is None else [_with_cell(solve) for solve in of_atoms]

    def structures(self, rows: Array) -> tuple[Array, Array]:
        """Positions [N, 3] and cells [G, 3, 3], in Å."""
        if self._of_cells is None:
            return rows[self._of_atoms], self._cells
        deformation = self._deformation(rows)
        atoms = np.repeat(deformation, self.many.counts, axis=0)
        positions = np.einsum("nx,nxy->ny", rows[self._of_atoms], atoms)
        return positions, self._cells @ deformation

    def allowed(self, rows: Array, proposed: Array) -> Array:
        """The proposed coordinates as the constraints allow them."""
        allowed = proposed.copy()
        part = self._of_atoms
        allowed[part] = self._constraints.positions(rows[part], proposed[part])
        return allowed

    def forces(self, rows: Array, evaluation: Evaluation) -> tuple[Array, Array, Array, Array]:
        """Energies [G] and forces [rows, 3] for the optimiser, and how large they are.

        Args:
            rows: the coordinates.
            evaluation: of :meth:`structures` at these.

        Returns:
            Enthalpies [G] in eV; the negative gradients; the largest force on an atom [G] in eV/Å,
            without what constraints take up; the largest component of the stress that would still
            move the cell [G], in eV/Å³.
        """
        many = self.many
        positions, cells = self.structures(rows)
        forces = self._constraints.forces(positions, evaluation.forces)
        largest = np.sqrt(np.maximum.reduceat((forces**2).sum(axis=1), many.first))
        downhill = np.zeros_like(rows)
        if self._of_cells is None or evaluation.stresses is None:
            downhill[self._of_atoms] = forces
            return evaluation.energies, downhill, largest, np.zeros(len(many))
        deformation = self._deformation(rows)
        volumes = np.abs(np.linalg.det(cells))
        stresses = self._moving_part(evaluation.stresses + self.pressure * np.eye(3))
        atoms_deformation = np.repeat(deformation, many.counts, axis=0)
        downhill[self._of_atoms] = np.einsum("ny,nxy->nx", forces, atoms_deformation)
        # By the deformation before its volume is set to one: the factor cancels.
        transposed = self._written_deformation(rows).transpose(0, 2, 1)
        of_cells = np.linalg.solve(transposed, volumes[:, None, None] * stresses)
        downhill[self._of_cells] = -of_cells / many.counts[:, None, None]
        enthalpies = evaluation.energies + self.pressure * volumes
        return enthalpies, downhill, largest, np.abs(stresses).max(axis=(1, 2))

    def _deformation(self, rows: Array) -> Array:
        deformation = self._written_deformation(rows)
        if self.cell == "volume":
            deformation = deformation / np.cbrt(np.linalg.det(deformation))[:, None, None]
        return deformation

    def _written_deformation(self, rows: Array) -> Array:
        return np.asarray(rows[self._of_cells] / self.many.counts[:, None, None])

    def _moving_part(self, stresses: Array) -> Array:
        mean = np.trace(stresses, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        if self.cell == "hydrostatic":
            return mean
        return stresses - mean if self.cell == "volume" else stresses


def _with_cell(solve: Solve) -> Solve:
    """Of the rows of atoms, and of the three of a cell behind them."""
    return lambda rows: np.concatenate([solve(rows[:-3]), rows[-3:] / CELL_STIFFNESS])
