"""Tensor products of features: every equivariant bilinear map."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from molnet.o3.constants import Constants
from molnet.o3.evaluation import group_paths, mixing_matrix, plan
from molnet.o3.instructions import Instruction, tensor_product_instructions
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, cat
from molnet.o3.weights import PathWeights


class TensorProduct(PathWeights):
    r"""Tensor product of two features along chosen paths, with or without weights.

    Each instruction couples an entry of the first input with one of the second to one of the
    output, by the 3j symbols C of their degrees, and adds the result to it:

    .. math::
        z_{k\cdot} \mathrel{+}= \alpha \sum w_{\cdot\cdot\cdot} \sum_{ij} C_{ijk}\, x_{iu}\, y_{jv}

    What happens to the copies is the connection mode; u are the copies of x, v those of y, w those
    of z. Letters that do not appear on the left are summed over:

    ======== ============================================= ==========================
    mode     :math:`(x \otimes y)_{uv}` goes to             shape of the weights
    ======== ============================================= ==========================
    uvw      :math:`z_w`: all to all                        [u, v, w]
    uvu      :math:`z_u`                                    [u, v]
    uvv      :math:`z_v`                                    [u, v]
    uuw      :math:`z_w` from u = v                         [u, w]
    uuu      :math:`z_u` from u = v                         [u]
    uvuv     :math:`z_{uv}`: all pairs apart                [u, v]
    uvu<v    :math:`z_{uv}` for u < v                       [u (u - 1) / 2]
    u<vw     :math:`z_w` from u < v                         [u (u - 1) / 2, w]
    ======== ============================================= ==========================

    The constants :math:`\alpha` keep unit variance, see
    :func:`~molnet.o3.instructions.tensor_product_instructions`. Weights, their order, constants and
    numbers agree with ``e3nn.o3.TensorProduct``, in both layouts. e3nn's options for the code that
    it generates (``compile_right`` and others) do not exist, as nothing is generated; :meth:`right`
    always works.

    Args:
        irreps_in1, irreps_in2, irreps_out: irreps of x, y and z.
        instructions: tuples ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``.
        in1_var, in2_var, out_var: variance of each entry; 1 by default.
        irrep_normalization: ``"component"`` (default), ``"norm"`` or ``"none"``.
        path_normalization: ``"element"`` (default), ``"path"`` or ``"none"``.
        internal_weights: whether the module holds its weights; False to pass them at each call.
        shared_weights: whether one set of weights serves the whole batch.
        layout: memory layout of inputs and output.

    Raises:
        IndexError, ValueError: an instruction that points nowhere, or that no equivariant map
            satisfies.

    The cross products of 16 vectors with 16 vectors, one by one:

    >>> TensorProduct("16x1o", "16x1o", "16x1e", [(0, 0, 0, "uuu", False)])
    TensorProduct(16x1o x 16x1o -> 16x1e | 16 paths | 0 weights)
    """

    instructions: list[Instruction]

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        instructions: Sequence[tuple[Any, ...]],
        in1_var: Sequence[float] | Tensor | None = None,
        in2_var: Sequence[float] | Tensor | None = None,
        out_var: Sequence[float] | Tensor | None = None,
        irrep_normalization: str | None = None,
        path_normalization: str | None = None,
        internal_weights: bool | None = None,
        shared_weights: bool | None = None,
        *,
        layout: Layout = "mul_ir",
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        irreps_out = Irreps(irreps_out)
        paths = tensor_product_instructions(
            irreps_in1,
            irreps_in2,
            irreps_out,
            instructions,
            in1_var,
            in2_var,
            out_var,
            irrep_normalization or "component",
            path_normalization or "element",
        )
        if internal_weights is None and not any(path.has_weight for path in paths):
            internal_weights = False
        super().__init__(
            [path.path_shape if path.has_weight else None for path in paths],
            internal_weights,
            shared_weights,
        )
        self.irreps_in1 = irreps_in1
        self.irreps_in2 = irreps_in2
        self.irreps_out = irreps_out
        self.instructions = paths
        self.layout = layout
        self._blocks1 = Blocks(irreps_in1, layout, "the first input of a tensor product")
        self._blocks2 = Blocks(irreps_in2, layout, "the second input of a tensor product")
        self._groups = group_paths(paths, irreps_in1, irreps_in2, irreps_out)
        self._finishes = [
            plan(path, irreps_in1[path.i_in1], irreps_in2[path.i_in2], irreps_out[path.i_out])[1]
            for path in paths
        ]
        self._constants = Constants(group.coupling.constant for group in self._groups)

    def forward(
        self, x: Tensor, y: Tensor, weight: Tensor | Sequence[Tensor] | None = None
    ) -> Tensor:
        """Evaluate the product.

        Args:
            x: ``[..., irreps_in1.dim]``.
            y: ``[..., irreps_in2.dim]``; leading axes broadcast with those of x.
            weight: ``[weight_numel]``, or ``[..., weight_numel]`` if not shared, or one tensor
                ``[..., *path_shape]`` for each instruction with weights; by default the module's.

        Returns:
            ``[..., irreps_out.dim]``.
        """
        weight = self._given_or_own(self._flat(weight), x)
        weights = self._weight_by_path(weight)
        in1, in2 = self._blocks1.split(x), self._blocks2.split(y)
        terms: dict[int, list[Tensor]] = {i: [] for i in range(len(self.irreps_out))}
        to_mix: dict[int, list[tuple[Tensor, Tensor]]] = {i: [] for i in terms}
        for group, constant in zip(self._groups, self._constants, strict=True):
            coupled = group.couple(in1[group.i_in1], in2[group.i_in2], weights, constant)
            results = coupled.split([dim for dim, _ in group.results], -2)
            for result, (_, paths) in zip(results, group.results, strict=True):
                for index in paths:
                    path = self.instructions[index]
                    match self._finishes[index]:
                        case "keep":
                            terms[path.i_out].append(result)
                        case "sum":
                            terms[path.i_out].append(result.sum(-1, keepdim=True))
                        case "scale":
                            factor = weights[index].flatten(-len(path.path_shape))
                            terms[path.i_out].append(result * factor.unsqueeze(-2))
                        case "mix":
                            matrix = mixing_matrix(path.connection_mode, weights[index])
                            to_mix[path.i_out].append((result, matrix))

        batch = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1], weight.shape[:-1])
        outputs = []
        for i, (mul, ir) in enumerate(self.irreps_out):
            if to_mix[i]:  # one matrix product for all paths into an output
                joined, matrices = zip(*to_mix[i], strict=True)
                terms[i].append(cat(joined, -1) @ cat(matrices, -2))
            if terms[i]:
                outputs.append(sum(terms[i][1:], terms[i][0]).expand(*batch, -1, -1))
            else:
                outputs.append(x.new_zeros(*batch, ir.dim, mul))
        return self._blocks1.join(outputs) if outputs else x.new_zeros(*batch, 0)

    def right(self, y: Tensor, weight: Tensor | Sequence[Tensor] | None = None) -> Tensor:
        """The linear map of x that remains when y is given.

        Args:
            y: ``[..., irreps_in2.dim]``.
            weight: as for :meth:`forward`.

        Returns:
            ``[..., irreps_in1.dim, irreps_out.dim]``, a matrix B with z = x B.
        """
        weight = self._flat(weight)
        if weight is not None and not self.shared_weights:
            weight = weight.unsqueeze(-2)
        rows = torch.eye(self.irreps_in1.dim, dtype=y.dtype, device=y.device)
        return self(rows, y.unsqueeze(-2), weight)

    def _accept(self, irreps_in1: Irreps, irreps_in2: Irreps) -> None:
        """Take inputs that hold the same copies in other entries than the instructions refer to."""
        cut1, cut2 = self.irreps_in1, self.irreps_in2
        self.irreps_in1, self.irreps_in2 = irreps_in1, irreps_in2
        self._blocks1 = Blocks(irreps_in1, self.layout, self._blocks1.name, cut1)
        self._blocks2 = Blocks(irreps_in2, self.layout, self._blocks2.name, cut2)

    def _flat(self, weight: Tensor | Sequence[Tensor] | None) -> Tensor | None:
        """Join weights given path by path."""
        if weight is None or isinstance(weight, Tensor):
            return weight
        shapes = [shape for shape in self._path_shapes if shape is not None]
        return torch.cat(
            [part.flatten(-len(shape)) for part, shape in zip(weight, shapes, strict=True)], -1
        )

    def __repr__(self) -> str:
        paths = sum(math.prod(path.path_shape) for path in self.instructions)
        return (
            f"{type(self).__name__}({self.irreps_in1.simplify()} x {self.irreps_in2.simplify()} "
            f"-> {self.irreps_out.simplify()} | {paths} paths | {self.weight_numel} weights)"
        )
