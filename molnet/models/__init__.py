"""Models: network, heads, the whole model, saving and loading."""

from molnet.models.compositions import UndeterminedEnergyWarning
from molnet.models.domain import Domain, OutsideDomainWarning
from molnet.models.finite import PredictionError, check_finite
from molnet.models.frozen import FrozenModel, state_of
from molnet.models.model import Model, UnknownElementError
from molnet.models.saving import ModelFormatError, floating_type, load_model, save_model
from molnet.models.total_charge import UnseenChargeWarning

__all__ = [
    "Domain",
    "FrozenModel",
    "Model",
    "ModelFormatError",
    "OutsideDomainWarning",
    "PredictionError",
    "UndeterminedEnergyWarning",
    "UnknownElementError",
    "UnseenChargeWarning",
    "check_finite",
    "floating_type",
    "load_model",
    "save_model",
    "state_of",
]
