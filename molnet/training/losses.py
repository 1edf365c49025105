"""The loss: a weighted sum over properties of a function of the scaled error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss
from torch_geometric.data import Batch

from molnet.properties import Property

HUBER_WIDTH = 0.1
"""Error, in units of the property's scale, at which the Huber function turns from a parabola into
a straight line of slope 1."""


def huber(error: Tensor) -> Tensor:
    """|x| − w/2 beyond the width w, x²/2w within: as robust as |x|, and smooth at zero."""
    zero = torch.zeros_like(error)
    return huber_loss(error, zero, reduction="none", delta=HUBER_WIDTH) / HUBER_WIDTH


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "huber": huber,
    "mse": torch.square,
    "mae": torch.abs,
}
"""The functions of the error that a configuration may name."""


@dataclass(frozen=True)
class LossTerm:
    r"""One property's part of the loss.

    .. math:: L = w \,\Bigl\langle f\Bigl(\frac{\hat y - y}{s\,n}\Bigr) \Bigr\rangle

    averaged over the components of all labels in the batch. A label that is NaN, such as the stress
    of a molecule, does not count. A weight may move during a run, :math:`w_0^{1-t} w_1^t` at a
    fraction t of the run, so that forces are learned first and energies after them.

    Args:
        property: what is compared.
        scale: spread s of the property in the training set, in its internal unit.
        weight: the weight w, or where the run starts from.
        per_atom: whether the error of a structure is divided by its number of atoms n.
        function: the function f, a key of :data:`FUNCTIONS`.
        final_weight: the weight at the end of the run; None for the same.
    """

    property: Property
    scale: float
    weight: float = 1.0
    per_atom: bool = False
    function: str = "huber"
    final_weight: float | None = None

    def __post_init__(self) -> None:
        name = self.property.name
        if self.function not in FUNCTIONS:
            raise ValueError(
                f"loss of {name}: expected function={'|'.join(FUNCTIONS)}, got {self.function!r}"
            )
        if self.final_weight is not None and not min(self.weight, self.final_weight) > 0:
            raise ValueError(
                f"loss of {name}: expected positive weights where final_weight is given, got "
                f"weight={self.weight} and final_weight={self.final_weight}"
            )
        if self.per_atom and self.property.per == "atom":
            raise ValueError(f"loss of {name}: per_atom is meant for properties of structures")
        if not self.scale > 0:
            raise ValueError(
                f"loss of {name}: expected a positive scale, got {self.scale}. "
                f"Do the training labels of {name} vary?"
            )

    def weight_at(self, progress: float) -> float:
        """The weight at a fraction of the run, from 0 to 1."""
        if self.final_weight is None:
            return self.weight
        return self.weight ** (1 - progress) * self.final_weight**progress

    def __call__(self, prediction: Tensor, graph: Batch) -> Tensor:
        """The weighted term; ``prediction`` has the shape of ``graph[property.name]``."""
        return self.with_count(prediction, graph)[0]

    def with_count(
        self, prediction: Tensor, graph: Batch, progress: float = 1.0
    ) -> tuple[Tensor, int]:
        """The weighted term, and over how many components it is averaged."""
        label = graph[self.property.name]
        error = (prediction - label) / self.scale
        if self.per_atom:
            error = error / graph.ptr.diff().reshape(-1, *[1] * (error.dim() - 1))
        missing = torch.isnan(label)
        if bool(missing.any()):
            error = error[~missing]
        mean = FUNCTIONS[self.function](error).sum() / max(error.numel(), 1)
        return self.weight_at(progress) * mean.to(graph.pos.dtype), error.numel()


@dataclass(frozen=True)
class Loss:
    """The sum of the terms."""

    terms: Sequence[LossTerm]

    def __call__(self, predictions: Mapping[str, Tensor], graph: Batch) -> Tensor:
        """The loss of a batch, a scalar in the dtype of the positions."""
        return self.parts(predictions, graph)[0].sum()

    def parts(
        self, predictions: Mapping[str, Tensor], graph: Batch, progress: float = 1.0
    ) -> tuple[Tensor, tuple[int, ...]]:
        """The weighted terms [T] of a batch, and how many components each is averaged over.

        Args:
            predictions, graph: as the model takes and gives them.
            progress: fraction of the run that is over; validations compare by the final weights.
        """
        found = [
            term.with_count(predictions[term.property.name], graph, progress) for term in self.terms
        ]
        terms, counts = zip(*found, strict=True)
        return torch.stack(terms), counts
