"""Building blocks of networks on equivariant features; tensors in, tensors out."""

from molnet.nn.activation import Activation, normalize2mom
from molnet.nn.gate import Gate
from molnet.nn.mlp import FullyConnectedNet

__all__ = ["Activation", "FullyConnectedNet", "Gate", "normalize2mom"]
