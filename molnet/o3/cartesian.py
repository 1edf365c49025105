"""Cartesian tensors as irreps, for instance polarizability and stress (`ij=ji`)."""

from typing import Any, Self

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps
from molnet.o3.reduced_tensor_products import ReducedTensorProducts, change_of_basis


class CartesianTensor(Irreps):
    """Irreps of a Cartesian tensor with index symmetries, and the way there and back.

    The change of basis Q is orthonormal: y_z = Σ_ij… Q_z,ij… T_ij… projects a tensor on those that
    obey the formula, and T_ij… = Σ_z Q_z,ij… y_z restores it. Norms are kept.

    Args:
        formula: index symmetries as in `ReducedTensorProducts`; every index is a vector, `1o`.

    Raises:
        ValueError: if the formula is no set of permutations.

    >>> stress = CartesianTensor("ij=ji")
    >>> stress, CartesianTensor("ij=-ji"), CartesianTensor("ijk=-jik=-ikj")
    (1x0e+1x2e, 1x1e, 1x0o)
    >>> T = torch.randn(10, 3, 3)
    >>> y = stress.from_cartesian(T)
    >>> y.shape, torch.allclose(stress.to_cartesian(y), (T + T.mT) / 2, atol=1e-6)
    (torch.Size([10, 6]), True)
    """

    formula: str
    indices: str

    def __new__(cls, formula: str) -> Self:
        indices = formula.split("=")[0].strip()
        irreps, _ = change_of_basis(formula, (Irreps("1o"),) * len(indices))
        tensor = super().__new__(cls, irreps)
        tensor.formula, tensor.indices = formula, indices
        return tensor

    def from_cartesian(self, data: Tensor, rtp: ReducedTensorProducts | None = None) -> Tensor:
        """Irreps [..., dim] of Cartesian tensors [..., 3, 3, …].

        Args:
            data: one axis of length 3 per index at the end.
            rtp: result of `reduced_tensor_products`, to use its change of basis.

        Raises:
            ValueError: if the last axes of `data` do not have length 3.
        """
        rank = len(self.indices)
        if list(data.shape[-rank:]) != [3] * rank:
            raise ValueError(f"expected shape [..., {'3, ' * rank}], got {list(data.shape)}")
        return data.flatten(-rank) @ self._basis(data, rtp).flatten(1).t()

    def from_vectors(self, *xs: Tensor, rtp: ReducedTensorProducts | None = None) -> Tensor:
        """Irreps [..., dim] of the product x ⊗ y ⊗ … of one vector [..., 3] per index.

        Raises:
            ValueError: if their number or shapes do not fit.
        """
        return (rtp or self.reduced_tensor_products(xs[0] if xs else None))(*xs)

    def to_cartesian(self, data: Tensor, rtp: ReducedTensorProducts | None = None) -> Tensor:
        """Cartesian tensors [..., 3, 3, …] of irreps [..., dim]; they obey the formula.

        Raises:
            ValueError: if the last axis of `data` does not have length `dim`.
        """
        if data.shape[-1:] != (self.dim,):
            raise ValueError(f"expected shape [..., {self.dim}], got {list(data.shape)}")
        Q = self._basis(data, rtp)
        return (data @ Q.flatten(1)).unflatten(-1, Q.shape[1:])

    def reduced_tensor_products(self, data: Tensor | None = None) -> ReducedTensorProducts:
        """The product of vectors as a module, in dtype and on the device of `data`."""
        irreps: dict[str, Any] = dict.fromkeys(self.indices, "1o")
        rtp = ReducedTensorProducts(self.formula, **irreps)
        return rtp if data is None else rtp.to(dtype=data.dtype, device=data.device)

    def _basis(self, data: Tensor, rtp: ReducedTensorProducts | None) -> Tensor:
        if rtp is not None:
            return rtp.change_of_basis
        _, Q = change_of_basis(self.formula, (Irreps("1o"),) * len(self.indices))
        return torch.tensor(Q, dtype=data.dtype, device=data.device)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.formula,)
