"""The bilinear maps at the heart of every tensor product: features coupled by 3j symbols."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from molnet.o3.wigner import wigner_3j


class Coupling:
    r"""Couples two features copy by copy, to one or several irreps of the result at once.

    .. math:: T_{k,uv} = \sum_{ij} C_{ijk}\, a_{i,uv}\, b_{j,uv}

    where C holds the 3j symbols of all results, one after the other along k. The cheapest way
    depends on the irreps: a scalar only scales; the scalar product needs no C; an operand of a
    single copy turns C into a matrix that acts on the other; else C acts on the outer product.

    Args:
        l1, l2: degrees of the operands.
        l3s: degrees of the results.
        scales: a factor for each result.
        single1, single2: whether the operand has one copy alone.
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
    ) -> None:
        C = _joined_3j(l1, l2, l3s, scales)
        self.dims = C.shape
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
            case "dot" if a.shape[-1] == 1 and b.shape[-2] == 1:  # all pairs of copies
                pairs = a.squeeze(-1).transpose(-1, -2) @ (b.squeeze(-2) * self.scale)
                return pairs.flatten(-2).unsqueeze(-2)
            case "dot":
                return (a * (b * self.scale)).sum(-3, keepdim=True).flatten(-2)
            case "second is matrix":
                M = b.flatten(-3) @ constant
                return M.unflatten(-1, (K, d1)) @ a.flatten(-2)
            case "first is matrix":
                M = a.flatten(-3) @ constant
                return M.unflatten(-1, (K, d2)) @ b.flatten(-2)
            case "outer":
                products = a.unsqueeze(-3) * b.unsqueeze(-4)  # [..., d1, d2, U, V]
                return constant @ products.flatten(-4, -3).flatten(-2)


class Contraction:
    r"""Couples two features to one irrep, and sums over copies.

    .. math:: T_{k,w} = \sum_{u,ij} C_{ijk}\, a_{i,uw}\, b_{j,u}

    With b, C becomes a matrix that acts on components and copies of a together.

    Args:
        l1, l2, l3: degrees of a, b and the result.
        scale: a factor.
        swapped: whether a is the second factor of the product.
    """

    def __init__(self, l1: int, l2: int, l3: int, scale: float, swapped: bool) -> None:
        C = (
            _joined_3j(l2, l1, [l3], [scale]).transpose(0, 1)
            if swapped
            else _joined_3j(l1, l2, [l3], [scale])
        )
        self.dims = C.shape
        self.scale = C[0, 0, 0].item() if l1 == 0 or l3 == 0 else None
        self.constant = C.permute(2, 0, 1).flatten(0, 1)  # [K d1, d2]

    def __call__(self, a: Tensor, b: Tensor, constant: Tensor) -> Tensor:
        """Couple.

        Args:
            a: ``[..., 2 l1 + 1, U, W]``.
            b: ``[..., 2 l2 + 1, U]``.
            constant: the 3j symbols as ``self.constant`` has them.

        Returns:
            ``[..., 2 l3 + 1, W]``.
        """
        d1, _, K = self.dims
        if self.scale is not None:  # with a scalar, C is a multiple of the identity
            M = b * self.scale
        elif b.shape[-1] == 1:
            M = b.squeeze(-1) @ constant.T
        else:
            M = constant @ b
        return M.reshape(*b.shape[:-2], K, d1 * b.shape[-1]) @ a.flatten(-3, -2)


def _joined_3j(l1: int, l2: int, l3s: Sequence[int], scales: Sequence[float]) -> Tensor:
    """Scaled 3j symbols ``[2 l1 + 1, 2 l2 + 1, K]``, those of the l3s joined along K."""
    symbols = [wigner_3j(l1, l2, l3, dtype=torch.float64) for l3 in l3s]
    return torch.cat([scale * C for scale, C in zip(scales, symbols, strict=True)], -1)
