"""Norms of the irreps in a feature."""

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, cat
from molnet.o3.weights import forget_when_loading


class Norm(torch.nn.Module):
    r"""Norm of each copy of each irrep.

    .. math:: n_u = \sqrt{\textstyle\sum_m x_{mu}^2}

    The norm of a zero feature has zero derivatives, of any order. Agrees with ``e3nn.o3.Norm``.

    Args:
        irreps_in: irreps of the input.
        squared: whether to return the squares of the norms.
        layout: memory layout of the input.

    >>> norm = Norm("17x1o")
    >>> norm(torch.randn(17 * 3)).shape
    torch.Size([17])
    """

    def __init__(
        self, irreps_in: IrrepsLike, squared: bool = False, layout: Layout = "mul_ir"
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_out = Irreps([(self.irreps_in.num_irreps, "0e")]).simplify()
        self.squared = squared
        self.layout = layout
        self._blocks = Blocks(self.irreps_in, layout, "features of Norm")
        forget_when_loading(self, constants=["tp.*"])

    def forward(self, features: Tensor) -> Tensor:
        """Norms ``[..., irreps_out.dim]`` of features ``[..., irreps_in.dim]``."""
        squares = [(block * block).sum(-2) for block in self._blocks.split(features)]
        if not squares:
            return features
        norms = cat(squares, -1)
        return norms if self.squared else smooth_sqrt(norms)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in.simplify()})"


def smooth_sqrt(x: Tensor) -> Tensor:
    """Square root of non-negative numbers, with zero derivatives where it is zero."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)
