"""A nonlinearity that scales each irrep by a function of its norm."""

import torch
from torch import Tensor

from molnet.nn.activation import ScalarFunction
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout
from molnet.o3.norm import Norm
from molnet.o3.weights import forget_when_loading


class NormActivation(torch.nn.Module):
    r"""Multiply each copy of each irrep by a function of its norm.

    .. math:: y_u = f(|x_u| + b_u)\, \frac{x_u}{|x_u|}

    Without ``normalize``, :math:`y_u = f(|x_u| + b_u)\, x_u`. Agrees with
    ``e3nn.nn.NormActivation``.

    Args:
        irreps_in: irreps of input and output.
        scalar_nonlinearity: the function f.
        normalize: whether to divide by the norm.
        epsilon: norms are at least this large where they divide; default 1e-8. None without
            ``normalize``.
        bias: whether to learn a bias b for each copy, zero at first.
        layout: memory layout of input and output.

    Source: Thomas et al., Tensor field networks, arXiv:1802.08219, section 4.1.3.

    >>> activation = NormActivation("2x1e", torch.sigmoid)
    >>> x = torch.ones(6)
    >>> activation(x).view(2, 3).norm(dim=-1)  # sigmoid of sqrt(3)
    tensor([0.8497, 0.8497])
    """

    def __init__(
        self,
        irreps_in: IrrepsLike,
        scalar_nonlinearity: ScalarFunction,
        normalize: bool = True,
        epsilon: float | None = None,
        bias: bool = False,
        layout: Layout = "mul_ir",
    ) -> None:
        super().__init__()
        if epsilon is not None and not normalize:
            raise ValueError(f"epsilon={epsilon} has no meaning with normalize=False: leave it out")
        if epsilon is not None and epsilon <= 0:
            raise ValueError(f"epsilon must be positive, got {epsilon}")
        self.irreps_in = self.irreps_out = Irreps(irreps_in)
        self.scalar_nonlinearity = scalar_nonlinearity
        self.normalize = normalize
        self.bias = bias
        self.epsilon = 1e-8 if epsilon is None and normalize else epsilon
        self.norm = Norm(irreps_in, squared=normalize, layout=layout)
        self.layout = layout
        self.biases = torch.nn.Parameter(torch.zeros(self.irreps_in.num_irreps)) if bias else None
        self._blocks = Blocks(self.irreps_in, layout, "features of NormActivation")
        forget_when_loading(self, constants=["scalar_multiplier.*"])

    def forward(self, features: Tensor) -> Tensor:
        """Scale features ``[..., irreps_in.dim]``."""
        if not self.irreps_in:
            return features
        norms = self.norm(features)  # [..., copies of all irreps]
        if self.epsilon is not None:
            norms = norms.clamp(min=self.epsilon**2).sqrt()
        scales = self.scalar_nonlinearity(norms if self.biases is None else norms + self.biases)
        if self.normalize:
            scales = scales / norms
        scale_of_block = scales.split([mul for mul, _ in self.irreps_in], -1)
        return self._blocks.join(
            [
                block * scale.unsqueeze(-2)
                for block, scale in zip(self._blocks.split(features), scale_of_block, strict=True)
            ]
        )

    def extra_repr(self) -> str:
        return f"{self.irreps_in}, normalize={self.normalize}, bias={self.biases is not None}"
