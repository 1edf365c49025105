"""Linear maps that commute with rotations and inversion."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from molnet.kernels.compiler import kernels_serve
from molnet.kernels.linear.blocks import BlockwiseMap, MapBlock
from molnet.kernels.linear.blockwise import LinearMap
from molnet.kernels.single import apply_step
from molnet.o3.constants import Constants
from molnet.o3.instructions import LinearInstruction, linear_instructions
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import Blocks, Layout, cat, check_features
from molnet.o3.weights import PathWeights, forget_when_loading


class LinearSlices(NamedTuple):
    """Where the weights of an instruction lie on the last axis of all weights, and their shape."""

    slice_1D: slice  # noqa: N815, e3nn's name
    shape_2D: tuple[int, int]  # noqa: N815


class Linear(PathWeights):
    r"""Equivariant linear map: mixes the copies of each irrep, never different irreps.

    For every output entry o, component m and copy w

    .. math::
        y^{(o)}_{mw} = \sum_{i \to o} \alpha_{io} \sum_u x^{(i)}_{mu} W^{(io)}_{uw} + b^{(o)}_w

    over the input entries i of the same irrep. :math:`\alpha` (see
    :func:`~molnet.o3.instructions.linear_instructions`) keeps unit variance. Weights are drawn from
    a normal distribution, biases are zero at first. By Schur's lemma no other linear map commutes
    with rotations.

    Weights, normalisation and numbers agree with ``e3nn.o3.Linear``, in both layouts.

    Args:
        irreps_in: irreps of the input.
        irreps_out: irreps of the output. Entries without a path are zero.
        f_in, f_out: sizes of an additional axis before the last, mixed along with the copies: input
            ``[..., f_in, irreps_in.dim]``, output ``[..., f_out, irreps_out.dim]``. Both or none.
        internal_weights: whether the module holds its weights; False to pass them at each call.
        shared_weights: whether one set of weights serves the whole batch.
        instructions: pairs ``(i_in, i_out)`` to connect; by default all of equal irrep.
        biases: whether scalars (``0e``) have a bias, for all or for each output entry.
        path_normalization: ``"element"`` or ``"path"``.
        layout: memory layout of input and output.

    Raises:
        IndexError, ValueError: an instruction points nowhere, or connects different irreps.

    >>> linear = Linear("0e + 1o", "2x0e + 2x1o")
    >>> linear
    Linear(1x0e+1x1o -> 2x0e+2x1o | 4 weights)
    >>> linear(torch.randn(10, 4)).shape
    torch.Size([10, 8])
    """

    bias: Tensor

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_out: IrrepsLike,
        *,
        f_in: int | None = None,
        f_out: int | None = None,
        internal_weights: bool | None = None,
        shared_weights: bool | None = None,
        instructions: Sequence[tuple[int, int]] | None = None,
        biases: bool | Sequence[bool] = False,
        path_normalization: str = "element",
        layout: Layout = "mul_ir",
    ) -> None:
        irreps_in, irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        if (f_in is None) != (f_out is None):
            raise ValueError(f"give both f_in and f_out or none, got f_in={f_in}, f_out={f_out}")
        paths = linear_instructions(irreps_in, irreps_out, instructions, f_in, path_normalization)
        super().__init__(
            [path.path_shape for path in paths],
            internal_weights,
            shared_weights,
            prefix_shape=() if f_in is None or f_out is None else (f_in, f_out),
        )
        self.irreps_in = irreps_in
        self.irreps_out = irreps_out
        self.instructions = paths
        self.f_in, self.f_out = f_in, f_out
        self.layout = layout
        self._blocks = Blocks(irreps_in, layout, "features of Linear")

        self._bias_sizes = _bias_sizes(irreps_out, biases)
        self.bias_numel = sum(self._bias_sizes)
        if self.internal_weights and self.bias_numel > 0:
            shape = (self.bias_numel,) if f_out is None else (f_out, self.bias_numel)
            self.bias = torch.nn.Parameter(torch.zeros(shape))
        else:
            self.register_buffer("bias", torch.empty(0), persistent=False)
            forget_when_loading(self, placeholders=["bias"])

        self._groups = _group_paths(paths, irreps_out)
        self._constants = Constants([_weight_scales(paths)])
        plain = layout == "ir_mul" and f_in is None and self.bias_numel == 0
        self.blockwise = _blockwise_map(paths, irreps_in, irreps_out) if plain else None

    @property
    def weight_index_slices(self) -> list[LinearSlices]:
        """For each instruction where its weights lie, ``weight[..., slice_1D].view(shape_2D)``.

        Biases are no instructions here (e3nn lists them behind the weights).

        >>> Linear("0e + 2x1o", "3x0e + 4x1o").weight_index_slices[1]
        LinearSlices(slice_1D=slice(3, 11, None), shape_2D=(2, 4))
        """
        ends = accumulate(self._path_sizes)
        return [
            LinearSlices(slice(end - size, end), path.path_shape)
            for end, size, path in zip(ends, self._path_sizes, self.instructions, strict=True)
        ]

    def forward(
        self, features: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Apply the map.

        Args:
            features: ``[..., irreps_in.dim]`` (``[..., f_in, irreps_in.dim]``).
            weight: ``[weight_numel]``, or ``[..., weight_numel]`` if not shared (axes ``f_in,
                f_out`` before the last where these are set); by default the module's own.
            bias: ``[bias_numel]`` or ``[..., bias_numel]``; by default the module's own.

        Returns:
            ``[..., irreps_out.dim]`` (``[..., f_out, irreps_out.dim]``).
        """
        weight = self._given_or_own(weight, features)
        if self.blockwise is not None and weight.dim() == 1 and kernels_serve(features):
            check_features(features, self.irreps_in, "features of Linear")
            return apply_step(LinearMap(self.blockwise), features, weight)
        parts = self._weight_by_path(weight * self._constants[0])
        inputs = self._blocks.split(features)
        outputs: dict[int, Tensor] = {}
        for group in self._groups:
            x = cat([inputs[i] for i in group.i_in], -1)  # [..., 2l + 1, all copies in]
            W = group.matrix(parts)  # [..., all copies in, all copies out]
            y = x @ W if self.f_in is None else torch.einsum("...xmu,...xyuw->...ymw", x, W)
            outputs.update(zip(group.i_out, y.split(group.mul_out, -1), strict=True))

        if len(outputs) < len(self.irreps_out):
            batch = self._batch_shape(features, weight)
            for i, (mul, ir) in enumerate(self.irreps_out):
                if i not in outputs:
                    outputs[i] = features.new_zeros(*batch, ir.dim, mul)
        if self.bias_numel > 0:
            self._add_bias(outputs, bias)
        if len(outputs) == 0:
            return features.new_zeros(*self._batch_shape(features, weight), 0)
        return self._blocks.join([outputs[i] for i in range(len(outputs))])

    def as_step(self) -> LinearMap | None:
        """What :meth:`forward` does, as a step for kernels; None if it is more than that."""
        if self.blockwise is None or not self.internal_weights or not self.shared_weights:
            return None
        return LinearMap(self.blockwise)

    def _add_bias(self, outputs: dict[int, Tensor], bias: Tensor | None) -> None:
        bias = self.bias if bias is None else bias
        if bias.shape[-1] != self.bias_numel:
            raise ValueError(
                f"{self!r} needs biases of shape [..., {self.bias_numel}], "
                f"got {list(bias.shape) if bias.numel() else 'none'}"
            )
        for i, part in enumerate(bias.split(self._bias_sizes, -1)):
            if self._bias_sizes[i] > 0:
                outputs[i] = outputs[i] + part.unsqueeze(-2)

    def _batch_shape(self, features: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Shape of the output without its last axis."""
        if self.f_out is None:
            return tuple(torch.broadcast_shapes(features.shape[:-1], weight.shape[:-1]))
        batch = torch.broadcast_shapes(features.shape[:-2], weight.shape[:-3])
        return (*batch, self.f_out)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out} "
            f"| {self.weight_numel} weights)"
        )


class _Group(NamedTuple):
    """Paths that share inputs or outputs: one matrix product maps all of them."""

    i_in: list[int]
    i_out: list[int]
    mul_in: list[int]
    mul_out: list[int]
    paths: dict[tuple[int, int], list[int]]
    """The paths (indices of instructions) between each input and output; usually one."""

    def matrix(self, parts: dict[int, Tensor]) -> Tensor:
        """Join the weights ``[..., mul_in, mul_out]`` of the paths to one matrix."""
        rows = []
        for i, mul_in in zip(self.i_in, self.mul_in, strict=True):
            row = []
            for o, mul_out in zip(self.i_out, self.mul_out, strict=True):
                weights = [parts[path] for path in self.paths.get((i, o), ())]
                if not weights:
                    some = parts[next(iter(self.paths.values()))[0]]
                    weights = [some.new_zeros(*some.shape[:-2], mul_in, mul_out)]
                row.append(sum(weights[1:], weights[0]))
            rows.append(cat(row, -1))
        return cat(rows, -2)


def _group_paths(paths: Sequence[LinearInstruction], irreps_out: Irreps) -> list[_Group]:
    """Join the paths that share an input or an output, directly or through others."""
    components: list[tuple[set[int], set[int], list[int]]] = []
    for index, path in enumerate(paths):
        joined = ({path.i_in}, {path.i_out}, [index])
        apart = []
        for component in components:
            if path.i_in in component[0] or path.i_out in component[1]:
                joined = (
                    joined[0] | component[0],
                    joined[1] | component[1],
                    component[2] + joined[2],
                )
            else:
                apart.append(component)
        components = [*apart, joined]

    groups = []
    for ins, outs, indices in components:
        between: dict[tuple[int, int], list[int]] = {}
        muls = {}
        for index in sorted(indices):
            path = paths[index]
            between.setdefault((path.i_in, path.i_out), []).append(index)
            muls[path.i_in] = path.path_shape[0]
        i_in, i_out = sorted(ins), sorted(outs)
        groups.append(
            _Group(
                i_in, i_out, [muls[i] for i in i_in], [irreps_out[o].mul for o in i_out], between
            )
        )
    return groups


def _blockwise_map(
    paths: Sequence[LinearInstruction], irreps_in: Irreps, irreps_out: Irreps
) -> BlockwiseMap:
    """The paths as products on blocks of features in ``ir_mul``."""
    ins, outs = irreps_in.slices(), irreps_out.slices()
    blocks = []
    start = 0
    for path in paths:
        mul_in, mul_out = path.path_shape
        if mul_in > 0 and mul_out > 0:
            blocks.append(
                MapBlock(
                    irreps_in[path.i_in].ir.dim,
                    ins[path.i_in].start,
                    mul_in,
                    outs[path.i_out].start,
                    mul_out,
                    start,
                    path.path_weight,
                )
            )
        start += mul_in * mul_out
    return BlockwiseMap(tuple(blocks), irreps_in.dim, irreps_out.dim)


def _bias_sizes(irreps_out: Irreps, biases: bool | Sequence[bool]) -> list[int]:
    """Number of biases of each output entry."""
    if isinstance(biases, bool):
        biases = [biases and ir.is_scalar() for _, ir in irreps_out]
    if len(biases) != len(irreps_out):
        raise ValueError(
            f"biases must hold one value for each of the {len(irreps_out)} entries of "
            f"irreps_out={irreps_out}, got {len(biases)}"
        )
    for entry, has_bias in zip(irreps_out, biases, strict=True):
        if has_bias and not entry.ir.is_scalar():
            raise ValueError(
                f"only scalars (0e) can have a bias: added to {entry} in {irreps_out}, "
                "it would break the symmetry"
            )
    return [
        entry.dim if has_bias else 0 for entry, has_bias in zip(irreps_out, biases, strict=True)
    ]


def _weight_scales(paths: Sequence[LinearInstruction]) -> Tensor:
    """The constant of each weight, in float64."""
    sizes = torch.tensor([math.prod(path.path_shape) for path in paths], dtype=torch.int64)
    constants = torch.tensor([path.path_weight for path in paths], dtype=torch.float64)
    return constants.repeat_interleave(sizes)
