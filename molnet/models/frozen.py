"""A model for evaluation: the weights as they were at one moment, packed for the kernels once."""

import copy
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from molnet.graph import StructureError, exact_dtype, from_atoms, implausible
from molnet.graph.container import Graph
from molnet.graph.structure import Atoms
from molnet.models.compositions import UndeterminedEnergyWarning
from molnet.models.domain import DISTANCES, Outside, OutsideDomainWarning
from molnet.models.finite import PredictionError
from molnet.models.given import numbered
from molnet.models.total_charge import UnseenChargeWarning

if TYPE_CHECKING:
    from molnet.models.model import Model

_version_of = attrgetter("_version")


class FrozenModel:
    """A copy of a model that does not change any more.

    Nothing is recorded for its weights when it is evaluated, and what follows from them alone is
    computed once. The original stays as it is; what happens to it later the copy does not see.

    Args:
        model: any model, on any device.
    """

    def __init__(self, model: "Model") -> None:
        with torch.inference_mode(False):
            self.model = copy.deepcopy(model).eval().requires_grad_(False)
            # By the original, which may know its steps already; the copy would trace them anew.
            self.bound = model.network.bind(copied=True)

    @classmethod
    def of(cls, model: "Model | FrozenModel") -> "FrozenModel":
        """A frozen copy, or the model itself if it is one."""
        return model if isinstance(model, FrozenModel) else cls(model)

    def __call__(self, graph: Graph, measure: bool = False) -> dict[str, Tensor]:
        """What :meth:`molnet.models.Model.forward` returns, in evaluation."""
        return self.model(graph, self.bound, measure)

    @torch.no_grad()
    def distances(self, graph: Graph) -> Tensor | None:
        """How far each atom is from the training set, ``[N]``; None if the model does not know."""
        domain = self.model.domain
        return None if domain is None else domain(*self.model.invariants(graph), graph.batch)

    def of_atoms(self, name: str, graph: Graph) -> Tensor:
        """What :meth:`molnet.models.Model.of_atoms` returns."""
        return self.model.of_atoms(name, graph, self.bound)

    def predict(
        self,
        structures: Sequence[Atoms],
        batch_size: int = 32,
        doubt: Callable[[int, str], None] | None = None,
        name_of: Callable[[int], str] = numbered,
    ) -> list[dict[str, NDArray[Any]]]:
        """Predict structures, as :meth:`molnet.models.Model.predict` does.

        Args:
            structures: any number of them.
            batch_size: how many to evaluate at once.
            doubt: called with the place in the list, and with the reason, of a structure whose
                predictions should not be trusted, see :func:`molnet.graph.implausible`; by default
                a warning.
            name_of: how warnings name the structure in a place.
        """
        if batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, received {batch_size}")
        model = self.model
        results: list[dict[str, NDArray[Any]]] = []
        warned, outside, open_energy = False, Outside(), False
        for start in range(0, len(structures), batch_size):
            chunk = structures[start : start + batch_size]
            try:
                for place, reason in implausible(chunk).items():
                    if doubt is None:
                        warnings.warn(f"{name_of(start + place)}: {reason}", stacklevel=3)
                    else:
                        doubt(start + place, reason)
                graph = from_atoms(chunk, model.cutoff, exact_dtype(model.device))
                charges = graph.charge.numpy()
                model.total_charges.check(charges)
                graph = graph.to(model.device)
                with torch.no_grad():
                    outputs = self(graph, measure=True)
                found = model.of_each_structure(outputs, graph)
            except (StructureError, PredictionError) as error:
                error.index += start
                raise
            for place, atoms in enumerate(() if open_energy else chunk, start):
                if unknown := model.compositions.remark(atoms.numbers):
                    message = f"{name_of(place)}: {unknown}"
                    warnings.warn(message, UndeterminedEnergyWarning, stacklevel=3)
                    open_energy = True
                    break
            if not warned and (remark := self._remark_on(charges, start, name_of)):
                warnings.warn(remark, UnseenChargeWarning, stacklevel=3)
                warned = True
            if model.domain is not None:
                for place, (atoms, result) in enumerate(zip(chunk, found, strict=True), start):
                    outside.add(name_of(place), result[DISTANCES], atoms.numbers)
            results += found
        if outside.count:
            warnings.warn(str(outside), OutsideDomainWarning, stacklevel=3)
        return results

    def _remark_on(
        self, charges: NDArray[Any], start: int, name_of: Callable[[int], str]
    ) -> str | None:
        for index, charge in enumerate(charges.tolist(), start):
            if remark := self.model.total_charges.remark(charge):
                return f"{name_of(index)}: {remark}"
        return None


def state_of(weights: Sequence[Tensor]) -> tuple[list[int], list[int]]:
    """Changes when weights are written in place or move; not when ``.data`` is written."""
    # By map, as this is asked before every evaluation.
    addresses = list(map(Tensor.data_ptr, weights))
    if any(map(Tensor.is_inference, weights)):
        return addresses, [0 if weight.is_inference() else weight._version for weight in weights]
    return addresses, list(map(_version_of, weights))
