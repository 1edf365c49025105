"""From the weights of a trained model to those of one with other elements, or other heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from molnet.graph.elements import group_of
from molnet.models.heads import Extensive
from molnet.models.model import Model
from molnet.models.settings import OF_ENERGY
from molnet.nn.species_linear import SpeciesLinear
from molnet.nn.symmetric_power import SymmetricPower
from molnet.o3.linear import Linear

OF_SPECIES = (nn.Embedding, SpeciesLinear, SymmetricPower)
"""Modules whose ``weight`` has a row for each element."""


@dataclass(frozen=True)
class Transfer:
    """What a model got from another one.

    Attributes:
        heads: heads with the weights of the other model's head of that name.
        rescaled: those of them that keep their own scale, and predict the same nevertheless.
        anew: heads that start anew, with the reason.
        layers: weights of the network that start anew; then so do all heads, which read them.
        widened: weights of the network that are taken as far as the other model has them. The rest
            starts anew: features of degrees that its heads did not ask for. The features that both
            models have are the same.
        elements: for each new element, by atomic number, the one whose weights it starts from.
        left_out: elements that only the other model knows.
        loaded: number of weights that were taken.
    """

    heads: dict[str, str]
    rescaled: tuple[str, ...]
    anew: dict[str, str]
    layers: tuple[str, ...]
    widened: tuple[str, ...]
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
    known = parent.species
    sources = {z: z if z in known else nearest_element(z, known) for z in model.species}
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
    loaded, others = _load(model.network, theirs)
    common = {name: _load_common(parent.network, model.network, name, rows) for name in others}
    loaded += sum(common.values())
    layers = [name for name, number in common.items() if number == 0]
    sizes = {name: weight.numel() for name, weight in model.network.state_dict().items()}
    widened = [name for name, number in common.items() if 0 < number < sizes[name]]
    heads: dict[str, str] = {}
    anew: dict[str, str] = {}
    rescaled = []
    for name, head in model.heads.items():
        other, reason = _head_of(parent, model, name)
        if not reason and layers:
            reason = "as it reads what the network finds anew"
        if not reason:
            # Of one kind, with equal options, on networks of one width, so that all fits.
            loaded += _load(head, parent.heads[other].state_dict())[0]
            heads[name] = other
            if type(head) is Extensive:
                # A step of the optimizer moves predictions in proportion to the scale: that of
                # labels with forces, some eV, is far too large for relaxed structures.
                head.multiply(cast(Extensive, parent.heads[other]).scale / head.scale)
                rescaled.append(name)
        else:
            anew[name] = reason
    return Transfer(
        heads,
        tuple(rescaled),
        anew,
        tuple(layers),
        tuple(widened),
        {z: source for z, source in sources.items() if z != source},
        tuple(z for z in parent.species if z not in model.species),
        loaded,
    )


def nearest_element(number: int, known: list[int]) -> int:
    """The element most alike: of the same group and the nearest period, or else the nearest."""
    group = group_of(number)
    alike = [z for z in known if group is not None and group_of(z) == group]
    return min(alike or known, key=lambda z: (abs(z - number), z))


def _head_of(parent: Model, model: Model, name: str) -> tuple[str, str]:
    """The parent's head that a head continues, and otherwise the reason why there is none."""
    other: str | None = name
    if name not in parent.heads:
        # The zero of an energy may be known to one of the two alone, and so its name differs.
        alike = name == model.energy or model.potential_energies == (name,)
        other = parent.energy or next(iter(parent.potential_energies), None) if alike else None
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


@torch.no_grad()
def _load_common(parent: nn.Module, module: nn.Module, weight: str, rows: Tensor) -> int:
    """Take of one weight of a network what another network has too; how many numbers these are.

    Args:
        weight: its name.
        rows: for each element of the module its place among those of the parent.
    """
    layer = weight.removesuffix(".weight")
    theirs, ours = (_by_path(each.get_submodule(layer)) for each in (parent, module))
    loaded = 0
    for path in ours.keys() & theirs.keys():
        values, place = theirs[path], ours[path]
        if isinstance(module.get_submodule(layer), OF_SPECIES):
            values = values[rows.to(values.device)]
        # A gate wants its scalars first, and then a gate for each feature in the order of degrees.
        width = min(values.shape[-1], place.shape[-1])
        place[..., :width] = values[..., :width]
        loaded += place[..., :width].numel()
    return loaded


def _by_path(layer: nn.Module) -> Mapping[Any, Tensor]:
    """Views of a layer's weights by what they connect, ``[..., outgoing channels]``."""
    if isinstance(layer, SpeciesLinear | SymmetricPower):
        return layer.weight_views()
    if isinstance(layer, Linear) and len({ir for _, ir in layer.irreps_in}) == len(layer.irreps_in):
        return {
            layer.irreps_in[path.i_in]: view
            for _, path, view in layer.weight_views(yield_instruction=True)
        }
    return {}
