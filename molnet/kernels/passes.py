"""Passes over a program by compiled kernels: forwards, backwards, and along a tangent (JVP).

They are what a network's first two derivatives are made of. Nothing is recorded for autograd; see
:mod:`molnet.models.propagation` for the functions that autograd sees.
"""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from molnet.kernels.bound import BoundSteps, StepStruct, check_size
from molnet.kernels.compiler import kernels_for
from molnet.kernels.edge_basis import CompiledEdgeBasis, EdgeBasisStruct
from molnet.kernels.graph_orders import GraphOrders, GraphStruct
from molnet.kernels.program import Program, Role

Keeps = Literal["nothing", "steps", "rest"]
"""What a pass forwards keeps: nothing, what gradients of vectors need, or what those of weights
need as well (several times as much)."""


class Kept(NamedTuple):
    """What a pass forwards leaves for those that follow.

    Attributes:
        harmonics, basis, rows: functions of the edge vectors, see
            :class:`~molnet.kernels.CompiledEdgeBasis`.
        x: features of the species.
        steps: the values from which nonlinear steps start, one after another; flat.
        rest: the others on the way; flat.
    """

    harmonics: Tensor
    basis: Tensor
    rows: Tensor
    x: Tensor
    steps: Tensor | None
    rest: Tensor | None


class BoundProgram:
    """A program with the weights of the moment, packed as the kernels read them.

    Args:
        program: the steps.
        edge_basis: the functions of edge vectors that they use.
        weights: of the steps that learn, as constants; those of maps flat, ``[numel]`` or
            ``[species, numel]``, those of convolutions tables ``[rows, numel]``.
        like: a tensor of the features' type.

    Raises:
        RuntimeError: there are no kernels for such features.
    """

    def __init__(
        self,
        program: Program,
        edge_basis: CompiledEdgeBasis,
        weights: Sequence[Tensor],
        like: Tensor,
    ) -> None:
        kernels = kernels_for(like, edge_basis.l_max)
        if kernels is None:
            raise RuntimeError("a program was bound on a machine without kernels")
        self.program, self.edge_basis, self.dtype = program, edge_basis, like.dtype
        self.weights = [weight.detach().contiguous() for weight in weights]
        self._kernels = _checked(kernels)
        layout = _Layout.of(program)
        self._layout = layout
        self._steps = BoundSteps(self._kernels, program.steps, self.weights)
        self._struct = _ProgramStruct(
            len(program.steps),
            len(program.widths),
            ctypes.addressof(self._steps.array),
            ctypes.addressof(layout.values),
            layout.turn,
            layout.turn_backwards,
            edge_basis.struct,
        )

    def orders(
        self, species: Tensor, num_species: int, senders: Tensor, receivers: Tensor
    ) -> GraphOrders:
        """A graph for the passes, see :class:`GraphOrders`."""
        return GraphOrders(self._kernels, species, num_species, senders, receivers)

    def forwards(
        self, graph: GraphOrders, vectors: Tensor, x: Tensor, keeps: Keeps
    ) -> tuple[Tensor, Tensor, Kept]:
        """Invariants of all layers side by side, features of the last, and what is kept.

        Args:
            graph: see :meth:`orders`.
            vectors: of its edges, ``[E, 3]``.
            x: features of the species, ``[N, C]``.
            keeps: how much is kept.
        """
        if not vectors.dtype == x.dtype == self.dtype:
            raise TypeError(
                f"a program bound to weights of {self.dtype} got vectors in {vectors.dtype} and "
                f"features in {x.dtype}"
            )
        invariants, features = self._results(x)
        kept = Kept(
            *self.edge_basis.new(vectors),
            torch.empty(len(vectors), dtype=torch.int64),
            x.contiguous(),
            None if keeps == "nothing" else x.new_empty(len(x) * self._layout.steps),
            x.new_empty(len(x) * self._layout.rest) if keeps == "rest" else None,
        )
        values = [kept.x, kept.steps, kept.rest, invariants, features]
        self._run("forwards", graph, vectors, kept, *values)
        return invariants, features, kept

    def backwards(
        self,
        graph: GraphOrders,
        vectors: Tensor,
        kept: Kept,
        of_invariants: Tensor | None,
        of_features: Tensor | None = None,
        of_steps: Tensor | None = None,
        adjoints: Tensor | None = None,
        to_vectors: bool = True,
        trains: bool = False,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """From the gradients of invariants and features those of everything before them.

        Args:
            graph, vectors, kept: of the pass forwards.
            of_invariants, of_features, of_steps: gradients of its results.
            adjoints: see :meth:`new_adjoints`; filled with the adjoints of all values.
            to_vectors: whether those of the vectors are wanted.
            trains: whether those of x and weights are.

        Returns:
            Gradients of vectors, x and weights, where they are wanted.
        """
        of_vectors = vectors.new_empty(vectors.shape) if to_vectors else None
        of_x = torch.empty_like(kept.x) if trains else None
        of_weights = [torch.empty_like(w) for w in self.weights] if trains else []
        given = [
            None if g is None else g.contiguous() for g in (of_invariants, of_features, of_steps)
        ]
        before = [kept.x, kept.steps, kept.rest]
        addresses = _addresses(of_weights) if trains else None
        results = (adjoints, of_vectors, of_x, addresses)
        self._run("backwards", graph, vectors, kept, *before, *given, *results)
        return of_vectors, of_x, of_weights

    def new_adjoints(self, x: Tensor) -> Tensor:
        """Memory for the adjoints of all values, which :meth:`along` reads."""
        return x.new_empty(len(x) * self._layout.adjoints)

    def along(
        self, graph: GraphOrders, vectors: Tensor, kept: Kept, adjoints: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor | None]]:
        """The tangents of invariants and features along t, and the derivatives of v·t.

        Args:
            graph, vectors, kept: of the pass forwards.
            adjoints: of the pass backwards that led to the gradient v of the vectors.
            t: ``[E, 3]``.

        Returns:
            The tangents of invariants and features; the derivatives of v·t by the kept steps and
            by the weights (None where x alone is mapped, which does not depend on the vectors).
        """
        invariants, features = self._results(kept.x)
        of_steps = kept.x.new_empty(len(kept.x) * self._layout.steps)
        of_weights = [
            torch.empty_like(weight) if moves else None
            for weight, moves in zip(self.weights, self.program.moving_weights, strict=True)
        ]
        given = [kept.steps, adjoints, t.contiguous()]
        results = (invariants, features, of_steps, _addresses(of_weights))
        self._run("along", graph, vectors, kept, *given, *results)
        return invariants, features, of_steps, of_weights

    def _results(self, x: Tensor) -> tuple[Tensor, Tensor]:
        widths = self.program.widths
        return (
            x.new_empty(len(x), widths[self.program.invariants]),
            x.new_empty(len(x), widths[self.program.features]),
        )

    def _run(
        self,
        name: str,
        graph: GraphOrders,
        vectors: Tensor,
        kept: Kept,
        *arguments: "Tensor | ctypes.Array | None",
    ) -> None:
        vectors = vectors.contiguous()
        of_edges = (kept.harmonics, kept.basis, kept.rows)
        edges = (ctypes.c_void_p * 3)(*(tensor.data_ptr() for tensor in of_edges))
        addresses = (
            ctypes.c_void_p(each.data_ptr()) if isinstance(each, Tensor) else each
            for each in (vectors, edges, *arguments)
        )
        kernel = getattr(self._kernels, f"program_{name}")
        kernel(ctypes.byref(self._struct), ctypes.byref(graph.struct), *addresses)


class _Layout(NamedTuple):
    """Where the values of a program are in memory; found once for each program."""

    values: "ctypes.Array[_ValueStruct]"
    steps: int
    rest: int
    adjoints: int
    turn: int
    turn_backwards: int

    @classmethod
    def of(cls, program: Program) -> "_Layout":
        layout = program.__dict__.get("_layout")
        if layout is None:
            steps, width_of_steps = program.kept(Role.STEP)
            rest, width_of_rest = program.kept(Role.REST)
            adjoints, width_of_adjoints = program.kept(Role.STEP, Role.REST, Role.FEATURES)
            # A value is of one role, and its place among those of the other is 0.
            kept = [max(pair) for pair in zip(steps, rest, strict=True)]
            turn, width = program.in_turn()
            turn_backwards, width_backwards = program.in_turn(backwards=True)
            columns = (program.widths, program.roles, kept, adjoints, turn, turn_backwards)
            values = (_ValueStruct * len(kept))(
                *(_ValueStruct(*row) for row in zip(*columns, strict=True))
            )
            widths = width_of_steps, width_of_rest, width_of_adjoints, width, width_backwards
            layout = program.__dict__.setdefault("_layout", cls(values, *widths))
        return layout


def _addresses(tensors: Iterable[Tensor | None]) -> "ctypes.Array[ctypes.c_void_p]":
    flat = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    return (ctypes.c_void_p * len(flat))(*flat)


class _ValueStruct(ctypes.Structure):
    """``Value`` of the C++ source."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in ("width", "role", "kept", "adjoint", "turn", "turn_backwards")
    )


class _ProgramStruct(ctypes.Structure):
    """``Program`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "values")),
        *((name, ctypes.c_void_p) for name in ("step", "value")),
        *((name, ctypes.c_int64) for name in ("turn", "turn_backwards")),
        ("edge_basis", EdgeBasisStruct),
    )


STRUCTURES = (StepStruct, _ValueStruct, _ProgramStruct, GraphStruct, EdgeBasisStruct)
"""What Python fills in, in the order of ``structure_sizes`` in ``csrc/program.cpp``."""


def _checked(kernels: Any) -> Any:
    """The library, once the sizes of all structures have been found equal to those in C++."""
    if not getattr(kernels, "structures_agree", False):
        sizes = (ctypes.c_int64 * len(STRUCTURES)).in_dll(kernels, "structure_sizes")
        for struct, size in zip(STRUCTURES, sizes, strict=True):
            check_size(struct, size)
        kernels.structures_agree = True
    return kernels
