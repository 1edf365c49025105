"""Linear maps with weights that stay as they are."""

import ctypes
from dataclasses import dataclass

from torch import Tensor

from molnet.kernels.blocks import BlockwiseMap, RowGroups, Rows, call, rows_of
from molnet.kernels.compiler import kernels_for


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A map and its transpose with constant weights, in the order in which kernels read them.

    Nothing is recorded for autograd.
    """

    linear: BlockwiseMap
    kernels: ctypes.CDLL
    panels: Tensor
    panels_of_transposed: Tensor

    def __call__(
        self, x: Tensor, groups: RowGroups | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """Map features ``[N, dim_in]``, or add the result to those of ``onto``."""
        return self._run(self.linear, self.panels, x, groups, onto)

    def transpose(
        self, x: Tensor, groups: RowGroups | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """The same of the transposed map, of features ``[N, dim_out]``."""
        return self._run(self.linear.transposed, self.panels_of_transposed, x, groups, onto)

    @classmethod
    def of(cls, linear: BlockwiseMap, weight: Tensor) -> "PackedMap | None":
        """The map with these flat weights; None where there are no kernels for it."""
        kernels = kernels_for(weight)
        if kernels is None:
            return None
        return cls(
            linear,
            kernels,
            _panels(linear, kernels, weight),
            _panels(linear.transposed, kernels, weight),
        )

    def _run(
        self,
        linear: BlockwiseMap,
        panels: Tensor,
        x: Tensor,
        groups: RowGroups | None,
        onto: Tensor | None,
    ) -> Tensor:
        y = x.new_empty(len(x), linear.dim_out) if onto is None else onto
        order, starts = (None, None) if groups is None else groups
        rows = rows_of(len(x), order, starts, onto is not None)
        kernel = self.kernels.blockwise_packed_map
        call(kernel, linear, rows, 0, x.contiguous(), panels, y)
        return y


def _panels(linear: BlockwiseMap, kernels: ctypes.CDLL, weight: Tensor) -> Tensor:
    weight = weight.detach().contiguous()
    groups = weight.shape[0] if weight.dim() == 2 else 1
    kernels.blockwise_panels_size.restype = ctypes.c_int64
    size = kernels.blockwise_panels_size(ctypes.c_void_p(linear.address))
    panels = weight.new_empty(groups * size)
    rows = Rows(0, groups, None, None, 1, False)
    call(kernels.blockwise_pack, linear, rows, weight.shape[-1], weight, panels)
    return panels
