"""Normalisation of each feature vector by itself, as equivariant transformers do."""

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout


class LayerNorm(torch.nn.Module):
    r"""Normalise each entry of the irreps over its copies.

    .. math::
        y_{mu} = w_u \frac{x_{mu} - \delta_{l0} \mu}{\sqrt{\nu + \epsilon}} + b_u,
        \qquad \nu = \frac{1}{U (2l + 1)} \sum_{mu} (x_{mu} - \delta_{l0} \mu)^2

    with the mean :math:`\mu` over the U copies of a scalar (``0e``). Scalars have a bias.

    Args:
        irreps: irreps of the features.
        eps: added to the variance.
        affine: whether to learn a weight for each copy and a bias for each scalar.
        layout: memory layout of the features.

    Source: Ba et al., arXiv:1607.06450; for irreps Liao & Smidt, Equiformer, arXiv:2206.11990.

    >>> y = LayerNorm("8x0e + 8x1o")(3 * torch.randn(5, 32) + 1)
    >>> bool((y[:, :8].mean(1).abs() < 1e-5).all() and (y[:, 8:].square().mean(1) - 1 < 1e-3).all())
    True
    """

    def __init__(
        self,
        irreps: IrrepsLike,
        eps: float = 1e-5,
        affine: bool = True,
        layout: Layout = "mul_ir",
    ) -> None:
        super().__init__()
        self.irreps = Irreps(irreps)
        self.eps = eps
        self.layout = layout
        self._blocks = Blocks(self.irreps, layout, "features of LayerNorm")
        self._muls = [mul for mul, _ in self.irreps]
        self._scalar_muls = [mul if ir.is_scalar() else 0 for mul, ir in self.irreps]
        self.weight = torch.nn.Parameter(torch.ones(sum(self._muls))) if affine else None
        self.bias = torch.nn.Parameter(torch.zeros(sum(self._scalar_muls))) if affine else None

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features ``[..., irreps.dim]``."""
        blocks = self._blocks.split(features)
        if not blocks:
            return features
        if self.weight is not None and self.bias is not None:
            weights, biases = self.weight.split(self._muls), self.bias.split(self._scalar_muls)
        outputs = []
        for i, (x, (mul, ir)) in enumerate(zip(blocks, self.irreps, strict=True)):
            if ir.is_scalar() and mul > 0:
                x = x - x.mean(-1, keepdim=True)
            variance = x.square().sum((-2, -1), keepdim=True) / max(mul * ir.dim, 1)
            y = x * (variance + self.eps).rsqrt()
            if self.weight is not None:
                y = y * weights[i]
                y = y + biases[i] if ir.is_scalar() else y
            outputs.append(y)
        return self._blocks.join(outputs)

    def extra_repr(self) -> str:
        return f"{self.irreps}, eps={self.eps}, affine={self.weight is not None}"


class RMSNorm(torch.nn.Module):
    r"""Divide a feature vector by its root mean square, one number for all irreps together.

    .. math::
        y_{mu} = w_u \frac{x_{mu}}{\sqrt{\nu + \epsilon}},
        \qquad \nu = \frac{1}{N} \sum_{u=1}^{N} \frac{1}{2 l_u + 1} \sum_m x_{mu}^2

    over the N copies of all irreps. Nothing is centred, and the relative size of the degrees is
    kept.

    Args:
        irreps: irreps of the features.
        eps: added to the mean square.
        affine: whether to learn a weight for each copy.
        layout: memory layout of the features.

    Source: Zhang & Sennrich, arXiv:1910.07467; over degrees Liao et al., EquiformerV2,
    arXiv:2306.12059.

    >>> norm = RMSNorm("8x0e + 8x1o")
    >>> x = torch.randn(5, 32)
    >>> torch.allclose(norm(100 * x), norm(x), atol=1e-4)
    True
    """

    def __init__(
        self,
        irreps: IrrepsLike,
        eps: float = 1e-5,
        affine: bool = True,
        layout: Layout = "mul_ir",
    ) -> None:
        super().__init__()
        self.irreps = Irreps(irreps)
        self.eps = eps
        self.layout = layout
        self._blocks = Blocks(self.irreps, layout, "features of RMSNorm")
        self._muls = [mul for mul, _ in self.irreps]
        self.weight = torch.nn.Parameter(torch.ones(sum(self._muls))) if affine else None

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features ``[..., irreps.dim]``."""
        blocks = self._blocks.split(features)
        if not blocks:
            return features
        squares = [x.square().sum((-2, -1), keepdim=True) / x.shape[-2] for x in blocks]
        mean_square = sum(squares[1:], squares[0]) / max(self.irreps.num_irreps, 1)
        scale = (mean_square + self.eps).rsqrt()  # [..., 1, 1]
        if self.weight is None:
            return features * scale.squeeze(-1)
        weights = self.weight.split(self._muls)
        return self._blocks.join(
            [x * (scale * weight) for x, weight in zip(blocks, weights, strict=True)]
        )

    def extra_repr(self) -> str:
        return f"{self.irreps}, eps={self.eps}, affine={self.weight is not None}"
