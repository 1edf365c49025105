"""Building blocks of networks on equivariant features; tensors in, tensors out."""

from molnet.nn.activation import Activation, normalize2mom
from molnet.nn.gate import Gate
from molnet.nn.mlp import FullyConnectedNet
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

__all__ = [
    "Activation",
    "FullyConnectedNet",
    "Gate",
    "normalize2mom",
    "BesselBasis",
    "CosineEnvelope",
    "GaussianBasis",
    "PolynomialEnvelope",
    "SmoothFiniteBasis",
    "bessel",
    "soft_one_hot_linspace",
    "soft_unit_step",
]
