"""A multi-layer perceptron whose layers preserve the variance of their input."""

from collections.abc import Sequence

import torch
from torch import Tensor

from molnet.nn.activation import ScalarFunction, normalize2mom


class Layer(torch.nn.Module):
    r"""One layer of a :class:`FullyConnectedNet`, without bias.

    .. math:: y = \sqrt{v_{out}}\; \phi\!\left(\frac{x W}{\sqrt{h_{in} v_{in}}}\right)

    Args:
        h_in, h_out: numbers of inputs and outputs.
        act: the function phi, of unit second moment; None for the identity.
        var_in, var_out: variance of the inputs, and the one wanted of the outputs.
    """

    def __init__(
        self, h_in: int, h_out: int, act: ScalarFunction | None, var_in: float, var_out: float
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(h_in, h_out))
        self.act = act
        self.h_in, self.h_out = h_in, h_out
        self.var_in, self.var_out = var_in, var_out

    @property
    def scale(self) -> float:
        """The factor before the weights."""
        scale = (max(self.h_in, 1) * self.var_in) ** -0.5
        return scale * self.var_out**0.5 if self.act is None else scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., h_in]`` to ``[..., h_out]``."""
        x = x @ (self.weight * self.scale)
        if self.act is None:
            return x
        x = self.act(x)
        return x if self.var_out == 1 else x * self.var_out**0.5

    def __repr__(self) -> str:
        act = getattr(self.act, "f", self.act)
        name = getattr(act, "__name__", None if act is None else type(act).__name__)
        return f"{type(self).__name__}({self.h_in}->{self.h_out}, act={name})"


class FullyConnectedNet(torch.nn.Sequential):
    """Fully connected network with weights of unit variance and normalised activations.

    Agrees with ``e3nn.nn.FullyConnectedNet``.

    Args:
        hs: numbers of inputs, of the hidden features of each layer, and of outputs.
        act: activation between layers; it is scaled to unit second moment.
        variance_in: variance of the inputs.
        variance_out: wanted variance of the outputs.
        out_act: whether the activation acts on the outputs too.

    >>> net = FullyConnectedNet([8, 64, 64, 3], torch.nn.functional.silu)
    >>> net
    FullyConnectedNet[8, 64, 64, 3]
    >>> net(torch.randn(10, 8)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        hs: Sequence[int],
        act: ScalarFunction | None = None,
        variance_in: float = 1,
        variance_out: float = 1,
        out_act: bool = False,
    ) -> None:
        super().__init__()
        self.hs = list(hs)
        normalized = None if act is None else normalize2mom(act)
        last = len(self.hs) - 2
        for i in range(last + 1):
            self.add_module(
                f"layer{i}",
                Layer(
                    self.hs[i],
                    self.hs[i + 1],
                    normalized if i < last or out_act else None,
                    variance_in if i == 0 else 1,
                    variance_out if i == last else 1,
                ),
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.hs}"
