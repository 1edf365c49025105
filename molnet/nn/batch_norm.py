"""Batch and instance normalisation of equivariant features."""

from collections.abc import Sequence

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout


class BatchNorm(torch.nn.Module):
    r"""Normalise each copy of each irrep over the batch.

    .. math:: y_u = w_u \frac{x_u - \mu_u}{\sqrt{\nu_u + \epsilon}} + b_u

    :math:`\nu` is the mean of :math:`|x_u - \mu_u|^2` over the batch, divided by 2l + 1 with
    ``normalization="component"``. The mean :math:`\mu` and the bias b are those of scalars
    (``0e``) alone: no other irrep has an invariant mean. Agrees with ``e3nn.nn.BatchNorm``.

    In training the statistics are those of the batch, and running averages are kept of them, which
    serve in evaluation.

    Args:
        irreps: irreps of the features.
        eps: added to the variance.
        momentum: weight of the batch in the running averages.
        affine: whether to learn the weights w and the biases b.
        reduce: what is taken over the axes between batch and features, ``"mean"`` or ``"max"``.
        instance: use the statistics of each element of the batch, in evaluation too.
        include_bias: whether there are biases, if affine.
        normalization: ``"component"`` or ``"norm"``.
        layout: memory layout of the features.

    >>> norm = BatchNorm("4x0e + 4x1o")
    >>> y = norm(5 * torch.randn(1000, 16) + 1)
    >>> bool((y[:, :4].mean(0).abs() < 1e-5).all() and (y.square().mean() - 1).abs() < 1e-3)
    True
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        irreps: IrrepsLike,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        reduce: str = "mean",
        instance: bool = False,
        include_bias: bool = True,
        normalization: str = "component",
        layout: Layout = "mul_ir",
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("reduce", reduce, ("mean", "max")),
            ("normalization", normalization, ("component", "norm")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
        self.irreps = Irreps(irreps)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.reduce = reduce
        self.instance = instance
        self.include_bias = include_bias
        self.normalization = normalization
        self.layout = layout
        self._blocks = Blocks(self.irreps, layout, "features of BatchNorm")
        self._muls = [mul for mul, _ in self.irreps]
        self._scalar_muls = [mul if ir.is_scalar() else 0 for mul, ir in self.irreps]

        scalars, copies = sum(self._scalar_muls), sum(self._muls)
        self.register_buffer("running_mean", None if instance else torch.zeros(scalars))
        self.register_buffer("running_var", None if instance else torch.ones(copies))
        self.register_parameter(
            "weight", torch.nn.Parameter(torch.ones(copies)) if affine else None
        )
        self.register_parameter(
            "bias", torch.nn.Parameter(torch.zeros(scalars)) if affine and include_bias else None
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalise features ``[batch, ..., irreps.dim]``."""
        if input.dim() < 2:
            raise ValueError(
                f"BatchNorm needs a batch axis, [batch, ..., {self.irreps.dim}], "
                f"got {list(input.shape)}"
            )
        if input.numel() == 0:  # no statistics
            return input
        samples = input.flatten(1, -2) if input.dim() > 2 else input.unsqueeze(1)
        blocks = self._blocks.split(samples)  # [batch, samples, 2l + 1, mul]
        if self.training or self.running_mean is None or self.running_var is None:
            means = self._means(blocks)
            blocks = _centred(blocks, means)
            variances = self._variances(blocks)
            self._update(self.running_mean, means)
            self._update(self.running_var, variances)
        else:
            blocks = _centred(blocks, self._by_block(self.running_mean, scalars=True))
            variances = list(self.running_var.split(self._muls))

        outputs = []
        weights, biases = self._by_block(self.weight), self._by_block(self.bias, scalars=True)
        for x, variance, weight, bias in zip(blocks, variances, weights, biases, strict=True):
            scale = (variance + self.eps).rsqrt()
            y = x * (scale if weight is None else scale * weight)
            outputs.append(y if bias is None else y + bias)
        return self._blocks.join(outputs).view(input.shape)

    def _means(self, blocks: list[Tensor]) -> list[Tensor | None]:
        """Means of the scalars, ``[1, 1, 1, mul]`` or with ``instance`` ``[batch, 1, 1, mul]``."""
        axes = (1,) if self.instance else (0, 1)
        return [
            x.mean(axes, keepdim=True) if ir.is_scalar() else None
            for x, (_, ir) in zip(blocks, self.irreps, strict=True)
        ]

    def _variances(self, blocks: list[Tensor]) -> list[Tensor]:
        """Mean squares of the centred blocks, of the shapes that the means have."""
        variances = []
        for x in blocks:
            squares = x.square().sum(2, keepdim=True)
            if self.normalization == "component":
                squares = squares / x.shape[2]
            squares = (
                squares.mean(1, keepdim=True)
                if self.reduce == "mean"
                else squares.max(1, keepdim=True).values
            )
            variances.append(squares if self.instance else squares.mean(0, keepdim=True))
        return variances

    def _by_block(self, values: Tensor | None, scalars: bool = False) -> Sequence[Tensor | None]:
        """Cut values of all copies (or all scalars) by block; None where there is none."""
        if values is None:
            return [None] * len(self.irreps)
        parts = values.split(self._scalar_muls if scalars else self._muls)
        return [
            part if ir.is_scalar() or not scalars else None
            for part, (_, ir) in zip(parts, self.irreps, strict=True)
        ]

    def _update(self, running: Tensor | None, news: Sequence[Tensor | None]) -> None:
        """Move running averages towards the values of this batch."""
        values = [new.detach().flatten() for new in news if new is not None]
        if running is not None and values:
            running.lerp_(torch.cat(values).to(running), self.momentum)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.irreps}, eps={self.eps}, momentum={self.momentum})"


def _centred(blocks: Sequence[Tensor], means: Sequence[Tensor | None]) -> list[Tensor]:
    return [x if mean is None else x - mean for x, mean in zip(blocks, means, strict=True)]
