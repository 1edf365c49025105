"""Models: network, heads, the whole model, saving and loading."""

from molnet.models.model import Model, UnknownElementError
from molnet.models.saving import ModelFormatError, load_model, save_model

__all__ = ["Model", "ModelFormatError", "UnknownElementError", "load_model", "save_model"]
