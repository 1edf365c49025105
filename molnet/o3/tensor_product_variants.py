"""The tensor products that need no list of instructions."""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from torch import Tensor

from molnet.o3.irrep import Irrep, MulIrrep
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.tensor_product import TensorProduct


class FullyConnectedTensorProduct(TensorProduct):
    r"""Weighted tensor product along all paths, all copies to all copies.

    .. math:: z_w = \sum_{uv} w_{uvw}\, x_u \otimes y_v \quad\text{summed over all paths into z}

    Args:
        irreps_in1, irreps_in2, irreps_out: irreps of x, y and z.
        irrep_normalization, path_normalization, options: as for
            :class:`~molnet.o3.TensorProduct`.

    >>> FullyConnectedTensorProduct("2x0e + 1o", "0e + 1o", "0e + 1o")
    FullyConnectedTensorProduct(2x0e+1x1o x 1x0e+1x1o -> 1x0e+1x1o | 6 paths | 6 weights)
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        irrep_normalization: str | None = None,
        path_normalization: str | None = None,
        **options: Any,
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        irreps_out = Irreps(irreps_out)
        super().__init__(
            irreps_in1,
            irreps_in2,
            irreps_out,
            [
                (i_1, i_2, i_out, "uvw", True)
                for i_1, (_, ir_1) in enumerate(irreps_in1)
                for i_2, (_, ir_2) in enumerate(irreps_in2)
                for i_out, (_, ir_out) in enumerate(irreps_out)
                if ir_out in ir_1 * ir_2
            ],
            irrep_normalization=irrep_normalization,
            path_normalization=path_normalization,
            **options,
        )


class ElementwiseTensorProduct(TensorProduct):
    r"""Tensor product of each copy of x with the same copy of y, without weights.

    .. math:: z_u = x_u \otimes y_u

    The output holds all irreps of each product, in the order of the inputs. Where an entry of x
    ends within one of y, or the reverse, the instructions count the two parts as two entries.

    Args:
        irreps_in1, irreps_in2: irreps of x and y, equally many.
        filter_ir_out: the irreps of the output to keep; all by default.
        irrep_normalization, options: as for :class:`~molnet.o3.TensorProduct`.

    >>> ElementwiseTensorProduct("5x1o + 5x1e", "10x1e", ["0e", "0o"])
    ElementwiseTensorProduct(5x1o+5x1e x 10x1e -> 5x0o+5x0e | 10 paths | 0 weights)
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        filter_ir_out: Iterable[Any] | None = None,
        irrep_normalization: str | None = None,
        **options: Any,
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        if irreps_in1.num_irreps != irreps_in2.num_irreps:
            raise ValueError(
                "an elementwise product needs equally many irreps in both inputs, got "
                f"{irreps_in1.num_irreps} in {irreps_in1} and {irreps_in2.num_irreps} in "
                f"{irreps_in2}"
            )
        keep = _irreps_to_keep(filter_ir_out)
        cut1, cut2 = _cut_alike(irreps_in1.simplify(), irreps_in2.simplify())
        irreps_out: list[MulIrrep] = []
        instructions = []
        for i, ((mul, ir_1), (_, ir_2)) in enumerate(zip(cut1, cut2, strict=True)):
            for ir in ir_1 * ir_2:
                if keep is None or ir in keep:
                    instructions.append((i, i, len(irreps_out), "uuu", False))
                    irreps_out.append(MulIrrep(mul, ir))
        super().__init__(
            cut1,
            cut2,
            irreps_out,
            instructions,
            irrep_normalization=irrep_normalization,
            **options,
        )
        self._accept(irreps_in1, irreps_in2)


class FullTensorProduct(TensorProduct):
    r"""Tensor product of all copies of x with all copies of y, without weights.

    .. math:: z_{uv} = x_u \otimes y_v

    The output holds all irreps of all products, sorted.

    Args:
        irreps_in1, irreps_in2: irreps of x and y.
        filter_ir_out: the irreps of the output to keep; all by default.
        irrep_normalization, options: as for :class:`~molnet.o3.TensorProduct`.

    >>> FullTensorProduct("2x1o", "3x1o").irreps_out
    6x0e+6x1e+6x2e
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        filter_ir_out: Iterable[Any] | None = None,
        irrep_normalization: str | None = None,
        **options: Any,
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        keep = _irreps_to_keep(filter_ir_out)
        merged1, merged2 = irreps_in1.simplify(), irreps_in2.simplify()
        products = [
            (i_1, i_2, MulIrrep(mul_1 * mul_2, ir))
            for i_1, (mul_1, ir_1) in enumerate(merged1)
            for i_2, (mul_2, ir_2) in enumerate(merged2)
            for ir in ir_1 * ir_2
            if keep is None or ir in keep
        ]
        irreps_out, order, _ = Irreps([entry for _, _, entry in products]).sort()
        super().__init__(
            merged1,
            merged2,
            irreps_out,
            [
                (i_1, i_2, i_out, "uvuv", False)
                for (i_1, i_2, _), i_out in zip(products, order, strict=True)
            ],
            irrep_normalization=irrep_normalization,
            **options,
        )
        self._accept(irreps_in1, irreps_in2)


class TensorSquare(TensorProduct):
    r"""Tensor product of a feature with itself, each product of two copies once.

    Without ``irreps_out``, all products :math:`x_u \otimes x_v, u \le v`, without weights; with it,
    all of them mixed by weights to the copies of each output.

    Args:
        irreps_in: irreps of x.
        irreps_out: irreps of the output; equal neighbours are merged.
        filter_ir_out: without ``irreps_out``, the irreps of the output to keep; all by default.
        irrep_normalization, options: as for :class:`~molnet.o3.TensorProduct`. The product of a
            copy with itself has a larger variance than that of two, which is taken into account.

    >>> TensorSquare("2x1o")
    TensorSquare(2x1o -> 3x0e+1x1e+3x2e | 7 paths | 0 weights)
    """

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_out: IrrepsLike = None,
        filter_ir_out: Iterable[Any] | None = None,
        irrep_normalization: str | None = None,
        **options: Any,
    ) -> None:
        irreps_in = Irreps(irreps_in)
        normalization = irrep_normalization or "component"
        merged = irreps_in.simplify()
        if irreps_out is None:
            keep = _irreps_to_keep(filter_ir_out)
            irreps_out, instructions = _all_squares(merged, keep, normalization)
        elif filter_ir_out is None:
            irreps_out = Irreps(irreps_out).simplify()
            instructions = _mixed_squares(merged, irreps_out, normalization)
        else:
            raise ValueError("give irreps_out or filter_ir_out, not both: it is ambiguous")
        super().__init__(
            merged, merged, irreps_out, instructions, irrep_normalization="none", **options
        )
        self._accept(irreps_in, irreps_in)
        self.irreps_in = irreps_in

    def forward(  # type: ignore[override]
        self, x: Tensor, weight: Tensor | Sequence[Tensor] | None = None
    ) -> Tensor:
        """Evaluate the square of x, ``[..., irreps_in.dim]`` to ``[..., irreps_out.dim]``."""
        return super().forward(x, x, weight)

    def right(self, y: Tensor, weight: Any = None) -> Tensor:
        """A square is not linear in its input: always raises a TypeError."""
        raise TypeError(
            "a TensorSquare is quadratic in its input; there is no linear map to return"
        )

    def __repr__(self) -> str:
        paths = sum(math.prod(path.path_shape) for path in self.instructions)
        return (
            f"{type(self).__name__}({self.irreps_in.simplify()} -> {self.irreps_out.simplify()} "
            f"| {paths} paths | {self.weight_numel} weights)"
        )


def _irreps_to_keep(filter_ir_out: Iterable[Any] | None) -> set[Irrep] | None:
    return None if filter_ir_out is None else {Irrep(ir) for ir in filter_ir_out}


def _cut_alike(first: Irreps, second: Irreps) -> tuple[Irreps, Irreps]:
    """Cut the entries of both wherever an entry of either ends."""
    ends = sorted({*accumulate(mul for mul, _ in first), *accumulate(mul for mul, _ in second)})
    cuts = []
    for irreps in (first, second):
        of_copy = [ir for mul, ir in irreps for _ in range(mul)]
        cuts.append(Irreps([(end - start, of_copy[start]) for start, end in pairwise([0, *ends])]))
    return cuts[0], cuts[1]


def _square_variances(
    ir_1: Irrep, ir_2: Irrep, ir_out: Irrep, normalization: str
) -> tuple[float, float]:
    """Factors that normalise the product of two copies, and of a copy with itself.

    For a vector x of d independent normal components, the scalar x.x has variance 2 d and mean d,
    so a second moment of d (d + 2), where x.y has d.
    """
    same_scalar = ir_out.l == 0
    if normalization == "component":
        return ir_out.dim, ir_out.dim / (ir_1.dim + 2 if same_scalar else 2)
    if normalization == "norm":
        d = ir_1.dim
        return d * ir_2.dim, d if same_scalar else d * (d + 2) / 2
    if normalization == "none":
        return 1, 1
    raise ValueError(
        f'irrep_normalization must be "component", "norm" or "none", got {normalization!r}'
    )


def _all_squares(
    irreps: Irreps, keep: set[Irrep] | None, normalization: str
) -> tuple[Irreps, list[tuple[Any, ...]]]:
    """Output irreps and instructions of all products u <= v."""
    products: list[tuple[int, int, str, float, MulIrrep]] = []
    pairs = [
        (i_1, i_2, ir)
        for i_1, (_, ir_1) in enumerate(irreps)
        for i_2, (_, ir_2) in enumerate(irreps[i_1:], start=i_1)
        for ir in ir_1 * ir_2
        if keep is None or ir in keep
    ]
    for i_1, i_2, ir in pairs:
        (mul_1, ir_1), (mul_2, ir_2) = irreps[i_1], irreps[i_2]
        of_two, of_one = _square_variances(ir_1, ir_2, ir, normalization)
        if i_1 < i_2:
            products.append((i_1, i_2, "uvuv", of_two, MulIrrep(mul_1 * mul_2, ir)))
            continue
        if mul_1 > 1:
            entry = MulIrrep(mul_1 * (mul_1 - 1) // 2, ir)
            products.append((i_1, i_1, "uvu<v", of_two, entry))
        if ir.l % 2 == 0:  # the antisymmetric product of a copy with itself vanishes
            products.append((i_1, i_1, "uuu", of_one, MulIrrep(mul_1, ir)))
    irreps_out, order, _ = Irreps([entry for *_, entry in products]).sort()
    return irreps_out, [
        (i_1, i_2, i_out, mode, False, variance)
        for (i_1, i_2, mode, variance, _), i_out in zip(products, order, strict=True)
    ]


def _mixed_squares(irreps: Irreps, irreps_out: Irreps, normalization: str) -> list[tuple[Any, ...]]:
    """Instructions that mix all products u <= v to each output."""
    instructions: list[tuple[Any, ...]] = []
    for i_1, (mul_1, ir_1) in enumerate(irreps):
        for i_2, (_, ir_2) in enumerate(irreps[i_1:], start=i_1):
            for i_out, (_, ir) in enumerate(irreps_out):
                if ir not in ir_1 * ir_2:
                    continue
                of_two, of_one = _square_variances(ir_1, ir_2, ir, normalization)
                if i_1 < i_2:
                    instructions.append((i_1, i_2, i_out, "uvw", True, of_two))
                    continue
                if mul_1 > 1:
                    instructions.append((i_1, i_1, i_out, "u<vw", True, of_two))
                if ir.l % 2 == 0:
                    instructions.append((i_1, i_1, i_out, "uuw", True, of_one))
    return instructions
