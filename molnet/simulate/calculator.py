"""A trained model as an ASE calculator, for optimisations, dynamics and vibrations."""

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as ASECalculator
from ase.calculators.calculator import all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from molnet.graph import DEFAULT_SKIN, MovingGraph, implausible, total_charge
from molnet.graph.container import Graph
from molnet.models import (
    FrozenModel,
    Model,
    OutsideDomainWarning,
    UndeterminedEnergyWarning,
    UnseenChargeWarning,
    floating_type,
    load_model,
    state_of,
)
from molnet.models.domain import DISTANCE, DISTANCES, Outside
from molnet.models.heads import Extensive

JUMP = 0.5
"""Å. Steps of dynamics and of optimizers are shorter: what moves farther is another structure."""

MEASURED_EVERY = 20
"""Calculations from one look at the distance to the training set to the next: looking at it takes
some per cent of a step of dynamics."""


class Calculator(ASECalculator):
    """Energies, forces, stress and all other predictions of a model, in ASE's units and names.

    >>> atoms.calc = Calculator("outputs/2026-01-31/12-00-00/model")  # doctest: +SKIP
    >>> atoms.get_potential_energy()                                  # doctest: +SKIP

    Results, for a model that has them: ``energy`` and ``free_energy`` (eV), ``forces`` (eV/Å),
    ``stress`` (eV/Å³, tension positive, in the order xx, yy, zz, yz, xz, xy; only for periodic
    structures with three cell vectors), ``dipole`` (e·Å), ``charges`` (e), and each other property
    under its own name, as ``atoms.calc.get_property("homo")``. An energy that adds up over atoms
    gives ``energies`` (eV), which add up to it: the model's way to share it out, which no
    measurement could confirm.

    The energy of a model that was trained on forces alone has an arbitrary zero for each
    composition: use it for dynamics and relaxations, not for comparisons.

    The total charge is ``atoms.info["charge"]``, or the sum of ``atoms.get_initial_charges()``. A
    charge that the model was not trained on gives one warning.

    How far the atoms are from all that the model was trained on is in :attr:`domain_distance`. It
    is looked at for every new structure and every 20 calculations; a structure outside gives one
    warning (:class:`~molnet.models.OutsideDomainWarning`). A structure is new if it has other atoms
    than the last one, or one of them is elsewhere by more than 0.5 Å; its distances and density are
    judged too (:func:`~molnet.graph.implausible`).

    It can be pickled, for other processes. Copies share the model and cost next to nothing.

    Args:
        model: a model, or the folder of a saved one.
        device: where to compute, e.g. ``"cuda"``. By default a given model stays on its device,
            and a loaded one is put on a GPU if there is one.
        dtype: ``torch.float64`` for vibrations and tight relaxations; by default the model's own.
        skin: Å, see :class:`~molnet.graph.MovingGraph`; changes the speed, never the results.
            0 searches neighbours at every step.

    Raises:
        UnknownElementError: in use, for an element that the model was not trained on.
        StructureError: in use, for positions or cells that are not valid.
        PredictionError: in use, for predictions that are not finite.
    """

    name = "molnet"
    atoms: Any  # ASE's, with no type of their own: the structure of the results, or None

    def __init__(
        self,
        model: Model | str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype | str | None = None,
        skin: float = DEFAULT_SKIN,
    ) -> None:
        super().__init__()
        if not isinstance(model, Model):
            model = load_model(model, device, dtype)
        elif device is not None or dtype is not None:
            kind = None if dtype is None else floating_type(dtype)
            model = copy.deepcopy(model).to(device=device, dtype=kind)
        self.model = model
        self._weights = list(model.parameters())
        self.frozen, self._state = FrozenModel(model), state_of(self._weights)
        self.graph = MovingGraph(model.cutoff, skin, model.device)
        self._judged: NDArray[np.int64] = np.array([], dtype=np.int64)  # atomic numbers
        self._positions: NDArray[np.float64] = np.zeros((0, 3))  # of the last calculation, Å
        self._charge = 0.0
        self._graph: Graph | None = None  # of the last calculation
        self._distances: NDArray[np.floating] | None = None  # of its atoms, once they are measured
        self._unmeasured = 0  # calculations since the last that was looked at
        self._outside = False
        self._known_charges: set[float] = set()  # not judged again for each step of dynamics
        self.implemented_properties = list(model.properties)
        if energy_name(model) is not None:
            self.implemented_properties += ["energy", "free_energy"]
        if adds_up(model):
            self.implemented_properties.append("energies")

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Predicts all properties and stores them in ``results``, as ASE expects."""
        if atoms is not None:
            if self.check_state(atoms):  # else ASE has made the copy already
                self.atoms = atoms.copy()
            self._charge = self._checked_charge(atoms)
        self._follow_the_model()
        atoms = self.atoms
        others = not np.array_equal(atoms.numbers, self._judged)
        is_new = others or bool(np.abs(atoms.positions - self._positions).max(initial=0.0) > JUMP)
        if is_new:  # not again for each step of dynamics
            for reason in implausible([atoms]).values():
                warnings.warn(reason, stacklevel=4)
        if others:
            if unknown := self.model.compositions.remark(atoms.numbers):
                warnings.warn(unknown, UndeterminedEnergyWarning, stacklevel=4)
            self._judged = atoms.numbers.copy()
        self._positions = atoms.positions.copy()
        graph = self.graph(
            atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, self._charge
        )
        measure = is_new or self._unmeasured + 1 >= MEASURED_EVERY
        with torch.no_grad():
            outputs = self.frozen(graph, measure)
        (prediction,) = self.model.of_each_structure(outputs, graph)
        self._graph, self._distances = graph, prediction.pop(DISTANCES, None)
        prediction.pop(DISTANCE, None)
        self._unmeasured = 0 if measure else self._unmeasured + 1
        if measure:
            self._warn_of_distance(atoms, is_new)
        self.results = ase_results(self.model, prediction)
        if (name := energy_name(self.model)) is not None:  # dynamics need no zero of energy
            self.results["energy"] = self.results["free_energy"] = self.results[name]
            if "energies" in properties and adds_up(self.model):
                energies = self.frozen.of_atoms(name, graph)
                self.results["energies"] = energies.double().cpu().numpy()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the model, the last structure and its results; nothing compiled."""
        state = self.__dict__.copy()
        for name in ("frozen", "_state", "_weights", "_graph"):
            del state[name]
        return state | {"graph": self.graph.skin}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._weights = list(self.model.parameters())
        self.frozen, self._state = FrozenModel(self.model), state_of(self._weights)
        self.graph = MovingGraph(self.model.cutoff, state["graph"], self.model.device)
        self._graph = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Calculator":
        """Another calculator for another structure, which shares the model with this one."""
        other = copy.copy(self)  # with the results of the last structure
        other.atoms = copy.deepcopy(self.atoms, memo)
        other.results = copy.deepcopy(self.results, memo)
        other.parameters = copy.deepcopy(self.parameters, memo)
        return other

    def __copy__(self) -> "Calculator":
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        # A neighbour list of its own: two structures would take turns with a common one.
        other.graph = MovingGraph(self.model.cutoff, self.graph.skin, self.model.device)
        return other

    @property
    def domain_distances(self) -> NDArray[np.floating] | None:
        """How far each atom of the last calculation is from the training set; 1 is the edge.

        None before the first calculation, and for a model that does not know its domain.
        """
        if self._distances is None and self._graph is not None:
            distances = self.frozen.distances(self._graph)
            self._distances = None if distances is None else distances.cpu().numpy()
        return self._distances

    @property
    def domain_distance(self) -> float | None:
        """The largest of :attr:`domain_distances`."""
        distances = self.domain_distances
        return None if distances is None else float(distances.max())

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Which inputs of the model have changed since the last calculation.

        The arrays are compared as bytes: the comparisons of ASE and NumPy take a considerable part
        of a step on a small molecule.
        """
        known = self.atoms
        if known is None:
            return list(all_changes)
        pairs = {
            "positions": (atoms.positions, known.positions),
            "numbers": (atoms.numbers, known.numbers),
            "cell": (atoms.cell.array, known.cell.array),
            "pbc": (atoms.pbc, known.pbc),
        }
        changes = [name for name, (now, then) in pairs.items() if now.tobytes() != then.tobytes()]
        charge, known_charge = total_charge(atoms), self._charge
        if charge != known_charge and not (math.isnan(charge) and math.isnan(known_charge)):
            changes.append("initial_charges")
        return changes

    def _checked_charge(self, atoms: Atoms) -> float:
        charge = total_charge(atoms)
        if charge not in self._known_charges:
            self.model.total_charges.check([charge])
            if remark := self.model.total_charges.remark(charge):
                warnings.warn(remark, UnseenChargeWarning, stacklevel=2)
            self._known_charges.add(charge)
        return charge

    def _warn_of_distance(self, atoms: Atoms, is_new: bool) -> None:
        if self._distances is None or (self._outside and not is_new):
            return
        outside = Outside()
        outside.add("largest distance", self._distances, atoms.numbers)
        self._outside = bool(outside.count)
        if outside.count:
            warnings.warn(str(outside), OutsideDomainWarning, stacklevel=5)

    def _follow_the_model(self) -> None:
        """Makes the frozen copy anew if the model was trained further or moved to a device."""
        state = state_of(self._weights)
        if state != self._state:
            self.frozen, self._state = FrozenModel(self.model), state
            self.graph = MovingGraph(self.model.cutoff, self.graph.skin, self.model.device)


def energy_name(model: Model) -> str | None:
    """The property that ASE calls ``energy``: the one whose derivatives are the forces."""
    return model.energy or ("energy" if "energy" in model.properties else None)


def adds_up(model: Model) -> bool:
    """Whether the energy is a sum over atoms."""
    name = energy_name(model)
    head = None if name is None else model.heads[name]
    return isinstance(head, Extensive) and type(head).forward is Extensive.forward


def ase_results(model: Model, prediction: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """One structure's predictions under ASE's names, in float64, and stress as six numbers.

    A relative energy keeps its own name, as it cannot be compared with other energies.
    """
    results: dict[str, Any] = {
        name: float(value) if np.ndim(value) == 0 else value.astype(np.float64)
        for name, value in prediction.items()
    }
    energy = energy_name(model)
    if energy in results and not model.energy_is_relative:
        results["energy"] = results["free_energy"] = results[energy]
    if "stress" in results:
        results["stress"] = full_3x3_to_voigt_6_stress(results["stress"])
    return results
