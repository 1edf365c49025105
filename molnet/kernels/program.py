"""A network's layers as a flat list of steps, each of which one primitive does.

A program is what :mod:`molnet.models.tracing` makes of the modules' ``forward``. It is data: which
value each step reads, and which it writes. It can be evaluated in two ways: by kernels, in passes
over all steps (:mod:`molnet.kernels.passes`), and by :meth:`Program.recorded`, function by function
under autograd.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from molnet.kernels.edges import Edges
from molnet.kernels.linear.blocks import BlockwiseMap, RowGroups


class Surroundings(NamedTuple):
    """What primitives may use besides features and weights.

    Attributes:
        species: the nodes of each species.
        edges: of the graph.
        harmonics: of the edges, ``[E, (l_max + 1)²]``.
        basis, rows: of the radial splines, see :class:`~molnet.kernels.Weights`.
    """

    species: RowGroups
    edges: Edges
    harmonics: Tensor
    basis: Tensor
    rows: Tensor


class Primitive(Protocol):
    """What one step does to the features of all nodes.

    Attributes:
        symbol: the name of its three functions in the C++ source, see ``csrc/step.h``.
        nonlinear: whether derivatives need what came in.
        learns: whether it has weights.
        accumulates: whether it can add to what earlier steps have written.
        packed: the map whose weights are packed into panels, which are then all that its functions
            are told; None for other primitives.
        dim_in, dim_out: lengths of the rows.
    """

    @property
    def symbol(self) -> str: ...
    @property
    def nonlinear(self) -> bool: ...
    @property
    def learns(self) -> bool: ...
    @property
    def accumulates(self) -> bool: ...
    @property
    def packed(self) -> BlockwiseMap | None: ...
    @property
    def dim_in(self) -> int: ...
    @property
    def dim_out(self) -> int: ...

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""

    def struct(self, weight: Tensor | None) -> ctypes.Structure:
        """What its functions are told, unless that is packed weights; a structure in C++."""

    def apply(self, x: Tensor, weight: Any, around: Surroundings) -> Tensor:
        """The same as a function of PyTorch's, differentiable any number of times.

        Args:
            x: features ``[N, dim_in]``.
            weight: what it learns; None where it learns nothing.
            around: graph and functions of its edges.
        """


class OfNodes(Primitive, Protocol):
    """A primitive that uses no edges; a module may be one of them."""

    def in_pytorch(self, x: Tensor, weight: Any, species: RowGroups | None) -> Tensor:
        """The same in plain PyTorch, for any device and type."""


class Step(NamedTuple):
    """One primitive at work.

    Attributes:
        primitive: what it does.
        source, target: indices of values.
        onto: whether it adds to what earlier steps have written.
        weight: index among the program's weights; None where the primitive learns nothing.
    """

    primitive: Primitive
    source: int
    target: int
    onto: bool
    weight: int | None


class Role(IntEnum):
    """What a value is to the passes, as in ``csrc/program.cpp``."""

    INPUT = 0
    STEP = 1
    REST = 2
    FEATURES = 3
    INVARIANTS = 4


class UnfitError(ValueError):
    """A list of steps that no pass can follow; the message says why."""


@dataclass(frozen=True, eq=False)
class Program:
    """Steps from the features of the species to invariants and the features of the last layer.

    Args:
        steps: in the order of evaluation.
        widths: of each value; value 0 comes in.
        features: the value that goes out as the features of the last layer.
        invariants: the value that goes out as the invariants of all layers.

    Raises:
        UnfitError: a nonlinear step starts from what comes in, or two from the same value.
    """

    steps: tuple[Step, ...]
    widths: tuple[int, ...]
    features: int
    invariants: int

    def __post_init__(self) -> None:
        sources = [step.source for step in self.steps if step.primitive.nonlinear]
        if 0 in sources:
            raise UnfitError("a nonlinear step starts from the features of the species themselves")
        if len(set(sources)) < len(sources):
            raise UnfitError("two nonlinear steps start from the same features")
        if {self.features, self.invariants} & {*sources, 0} or self.features == self.invariants:
            raise UnfitError("what goes out is not made by steps of its own")

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """What each value is to the passes."""
        nonlinear = {step.source for step in self.steps if step.primitive.nonlinear}
        roles = [Role.STEP if v in nonlinear else Role.REST for v in range(len(self.widths))]
        roles[0] = Role.INPUT
        roles[self.features], roles[self.invariants] = Role.FEATURES, Role.INVARIANTS
        return tuple(roles)

    @cached_property
    def moving_weights(self) -> tuple[bool, ...]:
        """For each weight whether what it acts on depends on the edge vectors."""
        weighted = [step for step in self.steps if step.weight is not None]
        return tuple(step.source != 0 for step in sorted(weighted, key=lambda s: s.weight or 0))

    def kept(self, *roles: Role) -> tuple[list[int], int]:
        """Place of each value among those of these roles, in order; and the width of all."""
        places, width = [], 0
        for role, own in zip(self.roles, self.widths, strict=True):
            places.append(width if role in roles else 0)
            width += own if role in roles else 0
        return places, width

    def in_turn(self, backwards: bool = False) -> tuple[list[int], int]:
        """Place of each value in memory that is used again when a value is needed no more.

        Args:
            backwards: for the adjoints of the values, which are needed in the opposite order.

        Returns:
            The places, and the width that suffices.
        """
        order = self.steps[::-1] if backwards else self.steps
        last = {v: i for i, step in enumerate(order) for v in (step.source, step.target)}
        outside = (0, self.invariants) if backwards else (0, self.invariants, self.features)
        places, held, width = [0] * len(self.widths), dict[int, tuple[int, int]](), 0
        for i, step in enumerate(order):
            for v in (step.target, step.source) if backwards else (step.source, step.target):
                if v not in held and v not in outside:
                    places[v] = _first_gap(sorted(held.values()), self.widths[v])
                    held[v] = places[v], places[v] + self.widths[v]
                    width = max(width, held[v][1])
            held = {v: place for v, place in held.items() if last[v] > i}
        return places, width

    def recorded(
        self, x: Tensor, weights: Sequence[Any], around: Surroundings
    ) -> tuple[Tensor, Tensor]:
        """Invariants and features, recorded step by step by autograd.

        Args:
            x: features of the species, ``[N, widths[0]]``.
            weights: of the steps that learn.
            around: graph and functions of its edges.
        """
        values: dict[int, Tensor] = {0: x}
        selected: list[Tensor] = []
        for step in self.steps:
            weight = None if step.weight is None else weights[step.weight]
            result = step.primitive.apply(values[step.source], weight, around)
            if step.target == self.invariants:
                selected.append(result)
            else:
                values[step.target] = values[step.target] + result if step.onto else result
        return torch.cat(selected, dim=1), values[self.features]


def _first_gap(taken: Sequence[tuple[int, int]], width: int) -> int:
    """Where so many numbers fit between stretches ``(start, end)`` in ascending order."""
    start = 0
    for first, end in taken:
        if first - start >= width:
            return start
        start = max(start, end)
    return start


@dataclass(frozen=True)
class Columns:
    """Columns ``first`` to ``first + count`` of the features, as columns ``place`` of a wider row.

    Evaluated by itself it gives the columns alone.
    """

    first: int
    count: int
    dim_in: int
    place: int
    dim_out: int

    symbol = "select_step"
    nonlinear = False
    learns = False
    accumulates = False
    packed = None

    def serves(self, like: Tensor) -> bool:
        """Always."""
        return True

    def struct(self, weight: Tensor | None) -> "ColumnsStruct":
        """``Columns`` of the C++ source."""
        return ColumnsStruct(self.first, self.count, self.dim_in, self.place, self.dim_out)

    def apply(self, x: Tensor, weight: Any, around: Surroundings) -> Tensor:
        """The columns, ``[N, count]``."""
        return x.narrow(1, self.first, self.count)


class ColumnsStruct(ctypes.Structure):
    """``Columns`` of the C++ source."""

    _fields_ = tuple(
        (name, ctypes.c_int64) for name in ("first", "count", "dim_in", "place", "dim_out")
    )
