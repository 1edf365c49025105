"""Predictions are finite numbers; what is none is an error, not a result."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from molnet.graph import volumes
from molnet.graph.container import Graph
from molnet.properties import Property


class PredictionError(ValueError):
    """A model predicts something that is no finite number.

    Attributes:
        index: position of the structure in its batch.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def check_finite(
    outputs: Mapping[str, Tensor], graph: Graph, properties: Mapping[str, Property]
) -> None:
    """Check that what a model returned for a batch are finite numbers everywhere.

    The stress of structures without a volume is NaN by its definition.

    Raises:
        PredictionError: naming the first structure for which it is not so.
    """
    for name, values in outputs.items():
        if math.isfinite(float(values.sum())):  # one small operation in place of several
            continue
        if name == "stress":
            values = values[torch.isfinite(volumes(graph))]
        finite = torch.isfinite(values)
        if bool(finite.all()):
            continue
        row = int((~finite.reshape(len(values), -1).all(dim=1)).nonzero()[0])
        if name == "stress":
            structure = int(torch.isfinite(volumes(graph)).nonzero()[row])
        else:
            structure = int(graph.batch[row]) if properties[name].per == "atom" else row
        raise PredictionError(
            f"the model predicts {name} = {values[row][~finite[row]][0].item()}: either the "
            "structure is far from all that the model was trained on (look for atoms that are too "
            "close), or the model is unsound. Leave the structure out, or take another model.",
            structure,
        )
