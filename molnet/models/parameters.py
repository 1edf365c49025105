"""The parameters of a model by what they are, as an optimizer may treat them differently."""

from typing import NamedTuple

from torch import nn

from molnet.models.heads import Extensive
from molnet.models.model import Model
from molnet.nn.symmetric_power import SymmetricPower


class Roles(NamedTuple):
    """Every parameter of a model once.

    Attributes:
        maps: weights of linear maps and of radial networks, of size 1 at the start. Weight decay is
            meant for these and for ``readouts``.
        others: embeddings and weights of products, which each have a meaning; of size 1 as well.
        readouts: weights of PyTorch's linear layers with n inputs, of size 1/√n at the start.
        biases: those of the same layers.
        offset: the bias that the energies of all atoms share, where forces are their derivatives;
            forces do not depend on it. Empty where there is none.
    """

    maps: list[nn.Parameter]
    others: list[nn.Parameter]
    readouts: list[nn.Parameter]
    biases: list[nn.Parameter]
    offset: list[nn.Parameter]


def roles(model: Model) -> Roles:
    """The parameters of a model by what they are."""
    found = Roles([], [], [], [], [])
    energy = None if model.energy is None else model.heads[model.energy]
    offset = energy.offset if isinstance(energy, Extensive) else None
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter is offset:
                found.offset.append(parameter)
            elif name.endswith("bias"):
                found.biases.append(parameter)
            elif isinstance(module, nn.Linear):
                found.readouts.append(parameter)
            elif isinstance(module, nn.Embedding | SymmetricPower):
                found.others.append(parameter)
            else:
                found.maps.append(parameter)
    return found
