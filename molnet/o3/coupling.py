"""The bilinear map at the heart of every tensor product."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from molnet.o3.layout import Layout, cat
from molnet.o3.wigner import wigner_3j


class Coupling:
    r"""Couples two features copy by copy, to one or several irreps of the result at once.

    .. math:: T_{k,uv} = \sum_{ij} C_{ijk}\, a_{i,uv}\, b_{j,uv}

    where C holds the 3j symbols of all results, one after the other along k. The cheapest way
    depends on the irreps: a scalar only scales; the scalar product needs no C; an operand of a
    single copy turns C into a matrix that acts on the other; else C acts on the outer product.

    Args:
        l1, l2: degrees of the operands.
        l3s: degrees of the results, each once.
        scales: a factor for each result.
        single1, single2: whether the operand has one copy alone.
        layout: which order of the result in memory is the cheaper one to go on with.
    """

    how: Literal["scale", "dot", "second is matrix", "first is matrix", "outer"]

    def __init__(
        self,
        l1: int,
        l2: int,
        l3s: Sequence[int],
        scales: Sequence[float],
        single1: bool,
        single2: bool,
        layout: Layout,
    ) -> None:
        C = cat(
            [
                scale * wigner_3j(l1, l2, l3, dtype=torch.float64)
                for l3, scale in zip(l3s, scales, strict=True)
            ],
            -1,
        )
        self.dims = C.shape
        self.layout = layout
        self.scale = C[0, 0, 0].item()
        if l1 == 0 or l2 == 0:
            self.how = "scale"
            C = C.new_empty(0)
        elif l3s == [0]:
            self.how = "dot"
            C = C.new_empty(0)
        elif single2:
            self.how = "second is matrix"
            C = C.permute(1, 2, 0).flatten(1)  # [d2, K d1]
        elif single1:
            self.how = "first is matrix"
            C = C.permute(0, 2, 1).flatten(1)  # [d1, K d2]
        else:
            self.how = "outer"
            C = C.flatten(0, 1).T.contiguous()  # [K, d1 d2]
        self.constant = C
        """3j symbols in float64; the caller passes them in the precision and place of the data."""

    def __call__(self, a: Tensor, b: Tensor, constant: Tensor) -> Tensor:
        """Couple operands whose copies have two axes, u and v, that broadcast.

        Args:
            a: ``[..., 2 l1 + 1, U, 1 or V]``.
            b: ``[..., 2 l2 + 1, 1 or U, V or 1]``.
            constant: the 3j symbols as ``self.constant`` has them.

        Returns:
            ``[..., K, U V]``.
        """
        d1, d2, K = self.dims
        match self.how:
            case "scale":
                return (a * (b * self.scale)).flatten(-2)
            case "dot":
                return (a * (b * self.scale)).sum(-3, keepdim=True).flatten(-2)
            case "second is matrix":
                M = b.flatten(-3) @ constant
                return self._matmul(M.unflatten(-1, (K, d1)), a.flatten(-2))
            case "first is matrix":
                M = a.flatten(-3) @ constant
                return self._matmul(M.unflatten(-1, (K, d2)), b.flatten(-2))
            case "outer":
                products = a.unsqueeze(-3) * b.unsqueeze(-4)  # [..., d1, d2, U, V]
                return self._matmul(constant, products.flatten(-4, -3).flatten(-2))

    def _matmul(self, M: Tensor, x: Tensor) -> Tensor:
        """``M @ x``, with the last two axes of the result in the layout's order in memory."""
        if self.layout == "ir_mul":
            return M @ x
        return (x.transpose(-1, -2) @ M.transpose(-1, -2)).transpose(-1, -2)
