"""Dropout of whole irreps."""

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, check_features


class Dropout(torch.nn.Module):
    r"""Set each copy of each irrep to zero with probability p, all its components together.

    .. math:: y_{zau} = \frac{b_{zu}}{1 - p}\, x_{zau}, \qquad b_{zu} \sim \text{Bernoulli}(1 - p)

    The first axis z is the batch; axes between it and the last share the draw. In evaluation mode
    features pass unchanged. Works as ``e3nn.nn.Dropout``, with other draws from the same seed.

    Args:
        irreps: irreps of the features.
        p: probability to drop.
        layout: memory layout of the features.

    >>> dropout = Dropout("10x1o", p=0.5)
    >>> x = torch.ones(4, 30)
    >>> set(dropout(x).flatten().tolist()) == {0.0, 2.0}
    True
    >>> torch.equal(dropout.eval()(x), x)
    True
    """

    def __init__(self, irreps: IrrepsLike, p: float, layout: Layout = "mul_ir") -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability between 0 and 1, got {p}")
        self.irreps = Irreps(irreps)
        self.p = p
        self.layout = layout
        self._blocks = Blocks(self.irreps, layout)

    def forward(self, x: Tensor) -> Tensor:
        """Drop irreps of features ``[batch, ..., irreps.dim]`` or ``[irreps.dim]``."""
        check_features(x, self.irreps, "features of Dropout")
        if not self.training or self.p == 0 or not self.irreps:
            return x
        if self.p == 1:
            return x * 0
        batch = [x.shape[0], *[1] * (x.dim() - 2)] if x.dim() > 1 else []
        drawn = torch.rand(*batch, 1, self.irreps.num_irreps, dtype=x.dtype, device=x.device)
        factors = (drawn >= self.p).to(x.dtype) / (1 - self.p)
        of_entry = factors.split([mul for mul, _ in self.irreps], -1)
        return x * self._blocks.join(
            [
                factor.expand(*factor.shape[:-2], ir.dim, mul)
                for factor, (mul, ir) in zip(of_entry, self.irreps, strict=True)
            ]
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.irreps}, p={self.p})"
