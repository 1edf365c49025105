"""Models: network, heads, the whole model, saving and loading."""

from molnet.models.frozen import frozen, state_of
from molnet.models.model import Model, UnknownElementError
from molnet.models.saving import ModelFormatError, load_model, save_model

__all__ = [
    "Model",
    "ModelFormatError",
    "UnknownElementError",
    "frozen",
    "load_model",
    "save_model",
    "state_of",
]
