"""Equivariant convolution over the edges of a graph: harmonics times features, summed."""

import math
from functools import cache

import torch
from torch import Tensor, nn

from molnet.kernels import Block, Convolving, Edges, Exact, Path, Plan, Weights, convolve
from molnet.o3.irreps import Irrep, Irreps
from molnet.o3.wigner import wigner_3j


class Convolution(nn.Module):
    r"""Tensor product of the senders' features with edge harmonics, summed at the receivers.

    .. math::
        out_{a}^{(p)} = \sum_{e \to a} w_{e}^{(p)} \odot
            \sqrt{2 l_3 + 1}\; C^{l_1 l_2 l_3} : x_{s(e)}^{(l_1)} \otimes Y^{(l_2)}(\hat r_e)

    There is one path :math:`p` for every admissible :math:`(l_1, l_2 \to l_3)`, with one weight for
    each edge and channel. It equals gathering, then e3nn's ``TensorProduct`` with ``uvu``
    instructions (component normalisation) and scattering, but never multiplies features by
    harmonics channel by channel: the Clebsch–Gordan algebra is done once for each edge, and all
    channels then share one small matrix.

    Args:
        irreps_in: irreps of the node features.
        irreps_harmonics: irreps of the edge harmonics, each of multiplicity one.
        irreps_kept: output irreps to keep (multiplicities are ignored); unreachable ones drop out.

    Attributes:
        irreps_out: sorted; the multiplicity of an irrep is the number of channels of all its paths.
        weight_numel: numbers that :meth:`forward` needs as weights of each edge.
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_harmonics: Irreps | str,
        irreps_kept: Irreps | str,
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_harmonics = Irreps(irreps_harmonics)
        if any(mul != 1 for mul, _ in self.irreps_harmonics):
            raise ValueError(
                f"expected harmonics of multiplicity one, got irreps_harmonics={irreps_harmonics}"
            )
        kept = {ir for _, ir in Irreps(irreps_kept)}

        harmonics = list(zip(self.irreps_harmonics, self.irreps_harmonics.slices(), strict=True))
        couplings = [
            (source, ir_out, ir_harmonic.l, rows.start)
            for source, (_, ir_in) in enumerate(self.irreps_in)
            for (_, ir_harmonic), rows in harmonics
            for ir_out in ir_in * ir_harmonic
            if ir_out in kept
        ]
        reached: list[Irrep] = sorted({ir_out for _, ir_out, _, _ in couplings})
        self.plan = Plan(
            inputs=tuple(Block(ir.dim, mul) for mul, ir in self.irreps_in),
            output_dims=tuple(ir.dim for ir in reached),
            paths=tuple(
                Path(source, reached.index(ir_out), degree, harmonic)
                for source, ir_out, degree, harmonic in couplings
            ),
        )
        self.irreps_out = Irreps(
            [(block.mul, ir) for block, ir in zip(self.plan.outputs, reached, strict=True)]
        )
        self.weight_numel = self.plan.weight_size

    @property
    def coupling(self) -> Exact:
        """The matrix ``[H, plan.matrix_size]`` from harmonics to what every path multiplies by.

        It follows from the plan. Kernels know it too, so there is none to be changed.
        """
        return _coupling(self.plan, self.irreps_harmonics.dim)

    def as_step(self) -> Convolving:
        """What :meth:`forward` does, as a step for kernels."""
        return Convolving(self.plan, self.coupling)

    def forward(self, x: Tensor, harmonics: Tensor, weights: Weights, edges: Edges) -> Tensor:
        """Messages of all edges, summed at their receivers.

        Args:
            x: node features ``[N, irreps_in.dim]`` in layout ``ir_mul``.
            harmonics: ``[E, irreps_harmonics.dim]``, component normalisation.
            weights: ``weight_numel`` numbers for each edge.
            edges: E edges between N nodes, sorted by receiver.

        Returns:
            ``[N, irreps_out.dim]`` in layout ``ir_mul``.
        """
        return convolve(x, harmonics, self.coupling.like(x), weights, edges, self.plan)

    def extra_repr(self) -> str:
        return (
            f"{self.irreps_in} x {self.irreps_harmonics} -> {self.irreps_out}"
            f" | {len(self.plan.paths)} paths | {self.weight_numel} weights"
        )


@cache
def _coupling(plan: Plan, num_harmonics: int) -> Exact:
    matrix = torch.zeros(num_harmonics, plan.matrix_size, dtype=torch.float64)
    for path, offset, size in zip(plan.paths, plan.matrix_offsets, plan.matrix_sizes, strict=True):
        dim_in, dim_out = plan.inputs[path.source].dim, plan.output_dims[path.target]
        tensor = wigner_3j(dim_in // 2, path.degree, dim_out // 2, dtype=torch.float64)
        block = math.sqrt(dim_out) * tensor.permute(1, 2, 0)  # [j, k, i]
        rows = slice(path.harmonic, path.harmonic + 2 * path.degree + 1)
        # For l = 0 the block is a multiple of the identity: its first number tells.
        matrix[rows, offset : offset + size] = block.flatten(1)[:, :size]
    return Exact(matrix)
