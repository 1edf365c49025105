"""From the weights of a trained model to those of one with other elements, or other heads."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molnet.graph.elements import group_of
from molnet.models.model import Model
from molnet.models.settings import OF_ENERGY
from molnet.nn.species_linear import SpeciesLinear
from molnet.nn.symmetric_power import SymmetricPower

OF_SPECIES = (nn.Embedding, SpeciesLinear, SymmetricPower)
"""Modules whose ``weight`` has a row for each element."""


@dataclass(frozen=True)
class Transfer:
    """What a model got from another one.

    Attributes:
        heads: heads with the weights of the other model's head of that name.
        anew: heads that start anew, with the reason.
        layers: weights of the network that start anew; then so do all heads, which read them.
        elements: for each new element, by atomic number, the one whose weights it starts from.
        left_out: elements that only the other model knows.
        loaded: number of weights that were taken.
    """

    heads: dict[str, str]
    anew: dict[str, str]
    layers: tuple[str, ...]
    elements: dict[int, int]
    left_out: tuple[int, ...]
    loaded: int


def transfer(parent: Model, model: Model) -> Transfer:
    """Give a model the weights of another one whose network has the same settings.

    An element that the parent does not know starts with the weights of a known one: of the nearest
    in its group of the periodic table, or else of the nearest atomic number. Weights of a single
    element keep the size of the features that the next layer is used to; a mean over elements would
    shrink them.

    Args:
        parent: is not changed.
        model: with fresh weights.
    """
    sources = {z: z if z in parent.species else nearest(z, parent.species) for z in model.species}
    rows = torch.tensor([parent.species.index(sources[z]) for z in model.species])
    of_species = {
        f"{name}.weight"
        for name, module in model.network.named_modules()
        if isinstance(module, OF_SPECIES)
    }
    theirs = {
        name: weight[rows.to(weight.device)] if name in of_species else weight
        for name, weight in parent.network.state_dict().items()
    }
    loaded, layers = _load(model.network, theirs)
    heads, anew = {}, {}
    for name, head in model.heads.items():
        other, reason = _head_of(parent, model, name)
        if not reason and layers:
            reason = "as it reads what the network finds anew"
        if not reason:
            # Of one kind, with equal options, on networks of one width, so that all fits.
            loaded += _load(head, parent.heads[other].state_dict())[0]
            heads[name] = other
        else:
            anew[name] = reason
    return Transfer(
        heads,
        anew,
        tuple(layers),
        {z: source for z, source in sources.items() if z != source},
        tuple(z for z in parent.species if z not in model.species),
        loaded,
    )


def nearest(number: int, known: list[int]) -> int:
    """The element most alike: of the same group and the nearest period, or else the nearest."""
    group = group_of(number)
    alike = [z for z in known if group is not None and group_of(z) == group]
    return min(alike or known, key=lambda z: (abs(z - number), z))


def _head_of(parent: Model, model: Model, name: str) -> tuple[str, str]:
    """The parent's head that a head continues, and otherwise the reason why there is none."""
    other: str | None = name
    if name not in parent.heads:
        # The zero of an energy may be known to one of the two alone, and so its name differs.
        other = parent.total_energy if name == model.total_energy else None
    if other is None:
        return "", "which the model does not have"
    ours, theirs = (
        {k: v for k, v in each.config["heads"][key].items() if k not in OF_ENERGY}
        for each, key in ((model, name), (parent, other))
    )
    if ours != theirs:
        return "", f"which is another one in the model ({_listed(theirs)})"
    if (unit := parent.properties[other].unit) != model.properties[name].unit:
        return "", f"which is in {unit} in the model"
    return other, ""


def _listed(options: Mapping[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in options.items())


@torch.no_grad()
def _load(module: nn.Module, weights: Mapping[str, Tensor]) -> tuple[int, list[str]]:
    """Take the weights that fit; how many these are, and the names of all others."""
    loaded, others = 0, []
    for name, weight in module.state_dict().items():
        if name in weights and weights[name].shape == weight.shape:
            weight.copy_(weights[name])
            loaded += weight.numel()
        else:
            others.append(name)
    return loaded, others
