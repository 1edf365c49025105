"""Linear maps with weights that are used more than once."""

import ctypes
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from molnet.kernels.blocks import BlockwiseMap, RowGroups, Rows, call, rows_of
from molnet.kernels.compiler import kernels_for


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A map with constant weights, in the order in which kernels of map and transpose read them.

    Nothing is recorded for autograd.
    """

    linear: BlockwiseMap
    kernels: ctypes.CDLL
    shape: torch.Size
    panels: Tensor
    panels_of_transposed: Tensor

    @classmethod
    def of(cls, linear: BlockwiseMap, weight: Tensor) -> "PackedMap":
        """The map with these flat weights.

        Raises:
            RuntimeError: where there are no kernels for it.
        """
        kernels = kernels_for(weight)
        if kernels is None:
            raise RuntimeError("weights were packed on a machine without kernels")
        return cls(
            linear,
            kernels,
            weight.shape,
            _panels(linear, kernels, weight),
            _panels(linear.transposed, kernels, weight),
        )

    @cached_property
    def transposed(self) -> "PackedMap":
        """The transposed map."""
        swapped = self.panels_of_transposed, self.panels
        return PackedMap(self.linear.transposed, self.kernels, self.shape, *swapped)

    def __call__(
        self, x: Tensor, groups: RowGroups | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """Map features ``[N, dim_in]``, or add the result to those of ``onto``."""
        y = x.new_empty(len(x), self.linear.dim_out) if onto is None else onto
        kernel = self.kernels.blockwise_packed_map
        call(kernel, self.linear, self._rows(x, groups, onto), 0, x.contiguous(), self.panels, y)
        return y

    def gradients(
        self, x: Tensor, g: Tensor, groups: RowGroups | None = None, onto: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """From the gradient of the result those of features and weights.

        Args:
            x: features that were mapped, ``[N, dim_in]``.
            g: gradient of the result, ``[N, dim_out]``.
            groups: which rows have which weights.
            onto: ``[N, dim_in]``, to which the gradient of the features is added in place.
        """
        of_x = x.new_empty(x.shape) if onto is None else onto
        of_weight = x.new_empty(self.shape)
        call(
            self.kernels.blockwise_packed_both,
            self.linear,
            self._rows(x, groups, onto),
            self.shape[-1],
            x.contiguous(),
            g.contiguous(),
            self.linear.transposed.address,
            self.panels_of_transposed,
            of_x,
            of_weight,
        )
        return of_x, of_weight

    def _rows(self, x: Tensor, groups: RowGroups | None, onto: Tensor | None) -> Rows:
        order, starts = (None, None) if groups is None else groups
        return rows_of(len(x), order, starts, onto is not None)


def _panels(linear: BlockwiseMap, kernels: ctypes.CDLL, weight: Tensor) -> Tensor:
    weight = weight.detach().contiguous()
    groups = weight.shape[0] if weight.dim() == 2 else 1
    kernels.blockwise_panels_size.restype = ctypes.c_int64
    size = kernels.blockwise_panels_size(ctypes.c_void_p(linear.address))
    panels = weight.new_empty(groups * size)
    rows = Rows(0, groups, None, None, torch.get_num_threads(), False)
    call(kernels.blockwise_pack, linear, rows, weight.shape[-1], weight, panels)
    return panels
