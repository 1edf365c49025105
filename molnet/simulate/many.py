"""Many structures in flat arrays, and their energies, forces and stress by one evaluation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from molnet.graph import DEFAULT_SKIN, MovingGraphs, StructureError
from molnet.graph.structure import total_charges
from molnet.models import FrozenModel
from molnet.models.finite import check_finite


class Many:
    """G structures with N atoms in all, one after the other.

    Args:
        structures: what the arrays are taken from; kept, and not changed.

    Attributes:
        structures: as given.
        counts: [G], atoms of each structure.
        first: [G], the first atom of each structure.
        numbers: [N], atomic numbers.
        positions: [N, 3], Å.
        cells: [G, 3, 3], Å.
        pbc: [G, 3].
        charges: [G], e.

    Raises:
        StructureError: a structure has no atoms, or total charges that contradict each other;
            ``index`` is its place.
    """

    def __init__(self, structures: Sequence[Atoms]) -> None:
        self.structures = list(structures)
        self.counts = np.array([len(atoms) for atoms in structures])
        if not self.counts.all():
            empty = int(np.flatnonzero(self.counts == 0)[0])
            raise StructureError("the structure has no atoms. Leave it out.", empty)
        self.first = np.cumsum(self.counts) - self.counts
        self.numbers = np.concatenate([atoms.numbers for atoms in structures])
        self.positions = np.concatenate([atoms.positions for atoms in structures])
        self.cells = np.stack([atoms.cell.array for atoms in structures])
        self.pbc = np.stack([atoms.pbc for atoms in structures])
        self.charges = total_charges(structures)

    def __len__(self) -> int:
        return len(self.counts)

    def atoms_of(self, place: int) -> slice:
        """The rows of one structure's atoms."""
        return slice(int(self.first[place]), int(self.first[place] + self.counts[place]))


class Evaluation(NamedTuple):
    """Of G structures with N atoms in all."""

    energies: NDArray[np.float64]
    """[G], eV."""
    forces: NDArray[np.float64]
    """[N, 3], eV/Å."""
    stresses: NDArray[np.float64] | None
    """[G, 3, 3], eV/Å³, tension positive; NaN for structures without a volume, None if all are."""

    def attach(self, atoms: Atoms, place: int, part: slice) -> None:
        """Give one structure its results, as ASE keeps them.

        Args:
            atoms: the structure, as it was evaluated.
            place: among the G structures.
            part: its rows among the N atoms.
        """
        results = {"energy": float(self.energies[place]), "forces": self.forces[part].copy()}
        if self.stresses is not None and np.isfinite(self.stresses[place]).all():
            results["stress"] = full_3x3_to_voigt_6_stress(self.stresses[place])
        atoms.calc = SinglePointCalculator(atoms, **results)


class Potential:
    """Energies, forces and stress of many structures whose atoms and cells move.

    Args:
        model: with an energy whose derivatives are the forces.
        many: the structures.
        skin: Å, of the neighbour lists; changes the speed, never the results.

    Raises:
        ValueError: the model predicts no forces.
    """

    def __init__(self, model: FrozenModel, many: Many, skin: float = DEFAULT_SKIN) -> None:
        if model.model.energy is None:
            raise ValueError(
                "the model predicts no energy with forces, only "
                f"{', '.join(model.model.properties)}. Take a model that was trained on forces."
            )
        model.model.total_charges.check(many.charges)
        self.model, self._energy = model, model.model.energy
        self.graphs = MovingGraphs(
            many.numbers,
            many.counts,
            many.pbc,
            many.charges,
            cutoff=model.model.cutoff,
            skin=skin,
            device=model.model.device,
        )

    def __call__(self, positions: NDArray[np.float64], cells: NDArray[np.float64]) -> Evaluation:
        """Evaluates all structures.

        Args:
            positions: [N, 3], Å.
            cells: [G, 3, 3], Å.

        Raises:
            StructureError: atoms in one place, or positions that are not finite.
            UnknownElementError: an element that the model does not know.
            PredictionError: a prediction that is not finite.

        ``index`` of each error is the place of the structure at fault.
        """
        graph = self.graphs(positions, cells)
        with torch.no_grad():
            outputs = self.model(graph)
        check_finite(outputs, graph, self.model.model.properties)

        def array(name: str) -> NDArray[np.float64]:
            return outputs[name].detach().cpu().double().numpy()

        stresses = array("stress") if "stress" in outputs else None
        return Evaluation(array(self._energy), array("forces"), stresses)

    def distances(
        self, positions: NDArray[np.float64], cells: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """[G], how far each structure is from what the model was trained on.

        1 is the edge, see :class:`molnet.models.domain.Domain`; None if the model does not know.
        """
        of_atoms = self.model.distances(self.graphs(positions, cells))
        if of_atoms is None:
            return None
        first = np.cumsum(self.graphs.counts) - self.graphs.counts
        return np.asarray(np.maximum.reduceat(of_atoms.double().cpu().numpy(), first))
