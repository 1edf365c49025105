"""Building blocks of networks on equivariant features; tensors in, tensors out."""

from molnet.nn.activation import Activation, normalize2mom
from molnet.nn.batch_norm import BatchNorm
from molnet.nn.dropout import Dropout
from molnet.nn.extract import Extract, ExtractIr
from molnet.nn.gate import Gate
from molnet.nn.identity import Identity
from molnet.nn.mlp import FullyConnectedNet
from molnet.nn.norm import LayerNorm, RMSNorm
from molnet.nn.norm_activation import NormActivation
from molnet.nn.radial import (
    BesselBasis,
    CosineEnvelope,
    GaussianBasis,
    PolynomialEnvelope,
    SmoothFiniteBasis,
    bessel,
    soft_one_hot_linspace,
    soft_unit_step,
)
from molnet.nn.repulsion import Repulsion
from molnet.nn.symmetric_power import SymmetricPower

__all__ = [
    "Activation",
    "BatchNorm",
    "BesselBasis",
    "CosineEnvelope",
    "Dropout",
    "Extract",
    "ExtractIr",
    "FullyConnectedNet",
    "Gate",
    "GaussianBasis",
    "Identity",
    "LayerNorm",
    "NormActivation",
    "PolynomialEnvelope",
    "RMSNorm",
    "Repulsion",
    "SmoothFiniteBasis",
    "SymmetricPower",
    "bessel",
    "normalize2mom",
    "soft_one_hot_linspace",
    "soft_unit_step",
]
