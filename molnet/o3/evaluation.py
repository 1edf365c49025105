"""The order in which a tensor product is evaluated: what is multiplied first, and what together.

Every path is a coupling of two operands, copy by copy (:mod:`~molnet.o3.coupling`), with its
weights applied to an operand before or to the result after. Paths with the same operands are
coupled together.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from molnet.o3.coupling import Contraction, Coupling
from molnet.o3.instructions import Instruction
from molnet.o3.irrep import MulIrrep
from molnet.o3.irreps import Irreps

Operands = Literal[
    "u with u",  # each copy of x with the same of y
    "u with v",  # all pairs of copies
    "u < v",  # all pairs of different copies of the same irreps
    "mix first",  # the weights mix the copies of x
    "mix second",
    "contract first",  # the weights mix the copies of x, with a result for each copy of y
    "contract second",
    "sum first",
    "sum second",
]
Finish = Literal["keep", "scale", "mix", "sum"]


@dataclass(frozen=True)
class PathGroup:
    """Paths with the same operands.

    Attributes:
        i_in1, i_in2: entries of the inputs.
        operands: how the operands are made from them.
        mixing: the path whose weights mix the copies of an operand (it is alone), and its mode.
        coupling: couples the operands to all degrees that the paths need.
        results: for each of these, its number of components and the paths that take it.
    """

    i_in1: int
    i_in2: int
    operands: Operands
    mixing: tuple[int, str] | None
    coupling: Coupling | Contraction
    results: list[tuple[int, list[int]]]

    def couple(
        self, x: Tensor, y: Tensor, weights: Mapping[int, Tensor], constant: Tensor
    ) -> Tensor:
        """Make the operands and couple them.

        Args:
            x: ``[..., d1, u]``, entry ``i_in1`` of the first input.
            y: ``[..., d2, v]``, entry ``i_in2`` of the second input.
            weights: the weights ``[..., *path_shape]`` of each path that has some.
            constant: the constant of the coupling, in the precision of the data.

        Returns:
            ``[..., components of all results, copies]``.
        """
        if self.mixing is not None:
            index, mode = self.mixing
            weight = weights[index]
            matrix = mixing_matrix(mode, weight)
        match self.operands:
            case "contract first":
                mixed = (x @ weight.flatten(-2)).unflatten(-1, weight.shape[-2:])
                return self.coupling(mixed, y, constant)  # mixed is [..., d1, v, w]
            case "contract second":
                weight = weight.transpose(-3, -2)
                mixed = (y @ weight.flatten(-2)).unflatten(-1, weight.shape[-2:])
                return self.coupling(mixed, x, constant)  # mixed is [..., d2, u, w]
            case "u with v":
                return self.coupling(x.unsqueeze(-1), y.unsqueeze(-2), constant)
            case "u < v":
                copies = x.shape[-1]
                u, v = torch.triu_indices(copies, copies, 1, device=x.device).unbind()
                x, y = x.index_select(-1, u), y.index_select(-1, v)
            case "mix first":
                x = x @ matrix
            case "mix second":
                y = y @ matrix
            case "sum first":
                x = x.sum(-1, keepdim=True)
            case "sum second":
                y = y.sum(-1, keepdim=True)
        return self.coupling(x.unsqueeze(-1), y.unsqueeze(-1), constant)


def plan(path: Instruction, in1: MulIrrep, in2: MulIrrep, out: MulIrrep) -> tuple[Operands, Finish]:
    """Where the weights of a path are applied, so that least has to be multiplied."""
    weighted = path.has_weight
    match path.connection_mode:
        case "uvw":
            return _plan_uvw(in1, in2, out)
        case "uvu" if in2.mul == 1:
            return "u with v", "scale" if weighted else "keep"
        case "uvu":
            return "mix second" if weighted else "sum second", "keep"
        case "uvv" if in1.mul == 1:
            return "u with v", "scale" if weighted else "keep"
        case "uvv":
            return "mix first" if weighted else "sum first", "keep"
        case "uuw":
            return "u with u", "mix" if weighted else "sum"
        case "uuu":
            return "u with u", "scale" if weighted else "keep"
        case "uvuv":
            return "u with v", "scale" if weighted else "keep"
        case "uvu<v":
            return "u < v", "scale" if weighted else "keep"
        case "u<vw":
            return "u < v", "mix"
    raise ValueError(f"unknown connection mode {path.connection_mode!r}")


def _plan_uvw(in1: MulIrrep, in2: MulIrrep, out: MulIrrep) -> tuple[Operands, Finish]:
    """Mix the copies of an input first, or all products after: whichever costs less.

    Counted are multiplications, and the numbers held in between, which take about as long to write
    and read (and differentiate) as 20 multiplications each in a matrix product.
    """
    (u, ir1), (v, ir2), (w, ir3) = in1, in2, out
    d1, d2, d3 = ir1.dim, ir2.dim, ir3.dim
    products = d3 if 1 in (d1, d2, d3) or 1 in (u, v) else d1 * d2
    costs: dict[tuple[Operands, Finish], int] = {
        ("u with v", "mix"): d3 * u * v * w + 20 * products * u * v,
        ("contract first", "keep"): d1 * u * v * w + (d3 + 20) * d1 * v * w,
        ("contract second", "keep"): d2 * u * v * w + (d3 + 20) * d2 * u * w,
    }
    return min(costs, key=costs.__getitem__)


def group_paths(
    paths: Sequence[Instruction],
    irreps_in1: Irreps,
    irreps_in2: Irreps,
    irreps_out: Irreps,
) -> list[PathGroup]:
    """Group the paths by their operands; paths that multiply nothing are left out."""
    groups: dict[Hashable, list[int]] = {}
    for index, path in enumerate(paths):
        if 0 in path.path_shape:
            continue
        in1, in2 = irreps_in1[path.i_in1], irreps_in2[path.i_in2]
        operands, _ = plan(path, in1, in2, irreps_out[path.i_out])
        # an operand mixed by the weights serves one path; a scalar scales by one constant
        private = index if operands.startswith(("mix", "contract")) else None
        constant = path.path_weight if in1.ir.l == 0 or in2.ir.l == 0 else None
        key = (path.i_in1, path.i_in2, operands, private, constant)
        groups.setdefault(key, []).append(index)
    return [
        _path_group(indices, paths, irreps_in1, irreps_in2, irreps_out)
        for indices in groups.values()
    ]


def _path_group(
    indices: Sequence[int],
    paths: Sequence[Instruction],
    irreps_in1: Irreps,
    irreps_in2: Irreps,
    irreps_out: Irreps,
) -> PathGroup:
    first = paths[indices[0]]
    in1, in2 = irreps_in1[first.i_in1], irreps_in2[first.i_in2]
    operands, _ = plan(first, in1, in2, irreps_out[first.i_out])
    results: dict[tuple[int, float], list[int]] = {}
    for index in indices:
        path = paths[index]
        result = (irreps_out[path.i_out].ir.l, path.path_weight)
        results.setdefault(result, []).append(index)
    coupling: Coupling | Contraction
    if operands.startswith("contract"):
        l1, l2, ((l3, constant),) = in1.ir.l, in2.ir.l, results
        if operands == "contract first":
            coupling = Contraction(l1, l2, l3, constant, swapped=False)
        else:
            coupling = Contraction(l2, l1, l3, constant, swapped=True)
    else:
        coupling = Coupling(
            in1.ir.l,
            in2.ir.l,
            [l3 for l3, _ in results],
            [constant for _, constant in results],
            single1=operands == "sum first" or (in1.mul == 1 and operands != "mix first"),
            single2=operands == "sum second" or (in2.mul == 1 and operands != "mix second"),
        )
    dims_and_paths = [(2 * l3 + 1, taken_by) for (l3, _), taken_by in results.items()]
    weighted = operands.startswith(("mix", "contract"))
    mixing = (indices[0], first.connection_mode) if weighted else None
    return PathGroup(first.i_in1, first.i_in2, operands, mixing, coupling, dims_and_paths)


def mixing_matrix(mode: str, weight: Tensor) -> Tensor:
    """The weights of a path as the matrix ``[..., copies, new copies]`` that mixes copies."""
    if mode == "uvw":
        return weight.flatten(-3, -2)
    return weight.transpose(-1, -2) if mode == "uvu" else weight
