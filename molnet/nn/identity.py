"""A module that passes features on."""

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, check_features
from molnet.o3.weights import forget_when_loading


class Identity(torch.nn.Module):
    """Pass features on unchanged, with the check that they are what is expected.

    Agrees with ``e3nn.nn.Identity``.

    Args:
        irreps_in: irreps of the input.
        irreps_out: irreps of the output: the same up to merging equal neighbours.
        layout: memory layout of input and output.

    >>> Identity("1x0e + 2x1o + 3x1o", "0e + 5x1o")
    Identity(1x0e+5x1o -> 1x0e+5x1o)
    """

    def __init__(
        self, irreps_in: IrrepsLike, irreps_out: IrrepsLike, layout: Layout = "mul_ir"
    ) -> None:
        super().__init__()
        irreps_in, irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.irreps_in, self.irreps_out = irreps_in.simplify(), irreps_out.simplify()
        if self.irreps_in != self.irreps_out:
            raise ValueError(f"an identity cannot map {irreps_in} to {irreps_out}")
        self.layout = layout
        cut = irreps_out.remove_zero_multiplicities()
        self._blocks = Blocks(irreps_in, layout, "features of Identity", cut)
        self._same_entries = layout == "mul_ir" or irreps_in.remove_zero_multiplicities() == cut
        forget_when_loading(self, constants=["output_mask"])

    def forward(self, features: Tensor) -> Tensor:
        """Return features ``[..., irreps_in.dim]``, cut into the entries of ``irreps_out``."""
        if self._same_entries:
            check_features(features, self.irreps_in, "features of Identity")
            return features
        return self._blocks.join(self._blocks.split(features))

    @property
    def output_mask(self) -> Tensor:
        """Which components of the output can differ from zero: all, ``[irreps_out.dim]``."""
        return torch.ones(self.irreps_out.dim)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out})"
