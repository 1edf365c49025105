"""Selecting parts of a feature, and passing one on unchanged. Both the same in either layout."""

from collections.abc import Sequence

import torch
from torch import Tensor

from molnet.o3.instructions import check_index
from molnet.o3.irrep import Irrep, IrrepLike
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import cat, check_features


class Extract(torch.nn.Module):
    """Cut features into several, each of chosen entries of the irreps.

    Whole entries are copied, so that the result is right in both layouts. Agrees with
    ``e3nn.nn.Extract``.

    Args:
        irreps_in: irreps of the input.
        irreps_outs: irreps of each output.
        instructions: for each output, the entries of ``irreps_in`` it is made of.
        squeeze_out: return the tensor itself, no tuple, if there is one output.

    Raises:
        IndexError, ValueError: an instruction points nowhere or at an entry of another kind.

    >>> extract = Extract("1e + 0e + 0e", ["0e", "0e"], [(1,), (2,)])
    >>> extract(torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0]))
    (tensor([1.]), tensor([2.]))
    """

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_outs: Sequence[IrrepsLike],
        instructions: Sequence[Sequence[int]],
        squeeze_out: bool = False,
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_outs = tuple(Irreps(irreps) for irreps in irreps_outs)
        self.instructions = [tuple(instruction) for instruction in instructions]
        self.squeeze_out = squeeze_out
        if len(self.irreps_outs) != len(self.instructions):
            raise ValueError(
                f"each of the {len(self.irreps_outs)} outputs needs one instruction, "
                f"got {len(self.instructions)}"
            )
        for irreps_out, entries in zip(self.irreps_outs, self.instructions, strict=True):
            for i in entries:
                check_index(i, self.irreps_in, "irreps_in")
            taken = Irreps([self.irreps_in[i] for i in entries])
            if taken != irreps_out:
                raise ValueError(
                    f"entries {entries} of {self.irreps_in} are {taken}, not {irreps_out}"
                )
        self._sizes = [entry.dim for entry in self.irreps_in]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Extract from features ``[..., irreps_in.dim]``."""
        check_features(x, self.irreps_in, "features of Extract")
        parts = x.split(self._sizes, -1) if self._sizes else ()
        outputs = tuple(
            cat([parts[i] for i in entries], -1) if entries else x.new_zeros(*x.shape[:-1], 0)
            for entries in self.instructions
        )
        return outputs[0] if self.squeeze_out and len(outputs) == 1 else outputs

    def extra_repr(self) -> str:
        return f"{self.irreps_in} -> {', '.join(map(str, self.irreps_outs))}"


class ExtractIr(Extract):
    """Extract all entries of one irrep.

    Args:
        irreps_in: irreps of the input.
        ir: the irrep to extract.

    >>> extract = ExtractIr("2x0e + 1o + 0e", "0e")
    >>> extract.irreps_out, extract(torch.arange(6.0))
    (2x0e+1x0e, tensor([0., 1., 5.]))
    """

    def __init__(self, irreps_in: IrrepsLike, ir: IrrepLike) -> None:
        irreps_in, ir = Irreps(irreps_in), Irrep(ir)
        entries = [i for i, entry in enumerate(irreps_in) if entry.ir == ir]
        self_irreps = Irreps([irreps_in[i] for i in entries])
        super().__init__(irreps_in, [self_irreps], [entries], squeeze_out=True)
        self.irreps_out = self_irreps
