"""The layers of a network one after another, in one compiled call for each pass over them.

A layer sends features x, gathers messages, and gates its update:

    sent = in x,  messages = convolution of sent,  update = out messages + own x,  x = gate(update)

Of the passes a network's first two derivatives are made. Nothing is recorded for autograd.
"""

import ctypes
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from molnet.kernels.blocks import BlockwiseMap
from molnet.kernels.compiled import ConvolutionStruct
from molnet.kernels.compiler import kernels_for
from molnet.kernels.edge_basis import CompiledEdgeBasis, EdgeBasisStruct
from molnet.kernels.edges import Edges
from molnet.kernels.gating import CompiledGate, GateStruct
from molnet.kernels.packing import LinearStruct, pack
from molnet.kernels.plan import Plan

Keeps = Literal["nothing", "steps", "rest"]
"""What a pass forwards keeps: nothing, what gradients of vectors need, or what those of weights
need as well (several times as much)."""


class LayerWeights(NamedTuple):
    """What a layer learns, or gradients of it: flat weights of its maps, and its table.

    Attributes:
        self_connection: ``[species, numel]``; None where there is none.
        table: of the radial functions.
    """

    linear_in: Tensor | None
    linear_out: Tensor | None
    self_connection: Tensor | None
    table: Tensor | None


class Layer(NamedTuple):
    """An interaction, with weights that stay constant.

    Attributes:
        weights: contiguous.
        coupling, plan: of the convolution.
        scalars: where the even scalars are in the outgoing features.
    """

    weights: LayerWeights
    linear_in: BlockwiseMap
    linear_out: BlockwiseMap
    self_connection: BlockwiseMap
    coupling: Tensor
    plan: Plan
    gate: CompiledGate
    scalars: slice

    @property
    def maps(self) -> list[tuple[BlockwiseMap, Tensor] | None]:
        """Each map with its weights, if it has any."""
        maps = self.linear_in, self.linear_out, self.self_connection
        weights = self.weights[:3]
        return [None if w is None else (m, w) for m, w in zip(maps, weights, strict=True)]


class Kept(NamedTuple):
    """What a pass forwards leaves for those that follow.

    Attributes:
        harmonics, basis, rows: functions of the edge vectors, see
            :class:`~molnet.kernels.CompiledEdgeBasis`.
        x: features that came into the first layer.
        steps: of each layer what it sent, then of each its update; flat.
        rest: of each layer its messages, then of all but the last what left the gate; flat.
    """

    harmonics: Tensor
    basis: Tensor
    rows: Tensor
    x: Tensor
    steps: Tensor | None
    rest: Tensor | None


class CompiledLayers:
    """Layers that follow one another.

    Args:
        edge_basis: the functions of edge vectors that they start from.
        layers: at least one; what arrives at one is what left the one before.
    """

    def __init__(self, edge_basis: CompiledEdgeBasis, layers: Sequence[Layer]) -> None:
        self.edge_basis, self.layers = edge_basis, tuple(layers)
        l_max = max(layer.plan.l_max for layer in layers)
        kernels = kernels_for(layers[0].coupling, l_max)
        if kernels is None:
            raise RuntimeError("layers were compiled on a machine without kernels")
        self._kernels = kernels
        maps = [each for layer in layers for each in layer.maps if each is not None]
        packed, self._panels = pack(kernels, maps)
        in_turn = iter(packed)
        self._array = (_LayerStruct * len(layers))(
            *(_LayerStruct.of(layer, in_turn) for layer in layers)
        )
        self._struct = _LayersStruct(len(layers), ctypes.addressof(self._array), edge_basis.struct)
        sent = sum(layer.plan.input_size for layer in layers)
        messages = sum(layer.plan.output_size for layer in layers)
        updates = sum(layer.gate.dim_in for layer in layers)
        results = [layer.gate.dim_out for layer in layers]
        self._width_of_scalars = sum(layer.scalars.stop - layer.scalars.start for layer in layers)
        self._width_of_features = results[-1]
        self._width_of_steps = sent + updates
        self._width_of_rest = messages + sum(results[:-1])
        self._width_of_adjoints = sent + messages + updates + sum(results)

    def graph(
        self, species: Tensor, num_species: int, senders: Tensor, receivers: Tensor
    ) -> "CompiledGraph":
        """A graph for the passes.

        Args:
            species: indices ``[N]``.
            num_species: how many there are.
            senders, receivers: ``[E]``, receivers ascending.

        Raises:
            ValueError: when they do not ascend, or an index is out of range.
        """
        return CompiledGraph(self._kernels, species, num_species, senders, receivers)

    def forwards(
        self, graph: "CompiledGraph", vectors: Tensor, x: Tensor, keeps: Keeps
    ) -> tuple[Tensor, Tensor, Kept]:
        """Invariants of all layers side by side, features of the last, and what is kept.

        Args:
            graph: see :meth:`graph`.
            vectors: of its edges, ``[E, 3]``.
            x: features of the species, ``[N, C]``.
            keeps: how much of the way.
        """
        scalars, features = self._results(x)
        kept = Kept(
            *self.edge_basis.new(vectors),
            torch.empty(len(vectors), dtype=torch.int64),
            x.contiguous(),
            None if keeps == "nothing" else x.new_empty(len(x) * self._width_of_steps),
            x.new_empty(len(x) * self._width_of_rest) if keeps == "rest" else None,
        )
        self._run(
            "forwards", graph, vectors, kept, kept.x, kept.steps, kept.rest, scalars, features
        )
        return scalars, features, kept

    def backwards(
        self,
        graph: "CompiledGraph",
        vectors: Tensor,
        kept: Kept,
        of_scalars: Tensor | None,
        of_features: Tensor | None = None,
        of_steps: Tensor | None = None,
        adjoints: Tensor | None = None,
        to_vectors: bool = True,
        trains: bool = False,
    ) -> tuple[Tensor | None, Tensor | None, list[LayerWeights]]:
        """From the gradients of invariants and features those of everything before them.

        Args:
            graph, vectors, kept: of the pass forwards.
            of_scalars, of_features, of_steps: gradients of what came of it.
            adjoints: see :meth:`new_adjoints`; takes the gradients on the way.
            to_vectors: whether those of the vectors are wanted.
            trains: whether those of x and weights are.

        Returns:
            Gradients of vectors, x and weights, where they are wanted.
        """
        of_vectors = vectors.new_empty(vectors.shape) if to_vectors else None
        of_x = torch.empty_like(kept.x) if trains else None
        of_weights = [_like_weights(layer) for layer in self.layers] if trains else []
        before = [kept.x, kept.steps, kept.rest]
        given = [None if g is None else g.contiguous() for g in (of_scalars, of_features, of_steps)]
        results = [adjoints, of_vectors, of_x, _addresses(of_weights) if trains else None]
        self._run("backwards", graph, vectors, kept, *before, *given, *results)
        return of_vectors, of_x, of_weights

    def new_adjoints(self, x: Tensor) -> Tensor:
        """Room for what a pass backwards leaves for :meth:`along`."""
        return x.new_empty(len(x) * self._width_of_adjoints)

    def along(
        self, graph: "CompiledGraph", vectors: Tensor, kept: Kept, adjoints: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[LayerWeights]]:
        """How invariants and features change along t, and what that says of v·t.

        Args:
            graph, vectors, kept: of the pass forwards.
            adjoints: of the pass backwards that led to the gradient v of vectors.
            t: ``[E, 3]``.

        Returns:
            The changes of invariants and features, and the derivatives of v·t by steps and weights.
        """
        scalars, features = self._results(kept.x)
        of_steps = kept.x.new_empty(len(kept.x) * self._width_of_steps)
        first, *others = (_like_weights(layer) for layer in self.layers)
        # Nothing changes before the first layer.
        of_weights = [first._replace(linear_in=None, self_connection=None), *others]
        given, results = [kept.steps, adjoints, t.contiguous()], [scalars, features, of_steps]
        self._run("along", graph, vectors, kept, *given, *results, _addresses(of_weights))
        return scalars, features, of_steps, of_weights

    def _results(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scalars = x.new_empty(len(x), self._width_of_scalars)
        return scalars, x.new_empty(len(x), self._width_of_features)

    def _run(
        self,
        name: str,
        graph: "CompiledGraph",
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
        kernel = getattr(self._kernels, f"layers_{name}")
        kernel(ctypes.byref(self._struct), ctypes.byref(graph.struct), *addresses)


class CompiledGraph:
    """The edges of a graph in the orders in which passes over layers visit them.

    See :meth:`CompiledLayers.graph`.

    Attributes:
        orders: nodes by species and where each species starts, edges by sender and by receiver and
            where each node's start.
    """

    def __init__(
        self,
        kernels: ctypes.CDLL,
        species: Tensor,
        num_species: int,
        senders: Tensor,
        receivers: Tensor,
    ) -> None:
        given = [index.long().contiguous() for index in (species, senders, receivers)]
        if senders.shape != receivers.shape:
            Edges.of(senders, receivers, len(species))  # says so
        self.struct = GraphStruct(
            len(species),
            len(senders),
            num_species,
            torch.get_num_threads(),
            *(index.data_ptr() for index in given),
        )
        kernels.orders_size.restype = kernels.order_graph.restype = ctypes.c_int64
        self.orders = given[0].new_empty(kernels.orders_size(ctypes.byref(self.struct)))
        self._given = given  # the structure holds no more than addresses
        memory = ctypes.c_void_p(self.orders.data_ptr())
        if not kernels.order_graph(ctypes.byref(self.struct), memory):
            Edges.of(senders, receivers, len(species))  # says what is wrong with the edges
            raise ValueError(
                f"expected species from 0 to {num_species - 1}, got {int(species.min())} to "
                f"{int(species.max())}"
            )


def _like_weights(layer: Layer) -> LayerWeights:
    """Room for gradients of a layer's weights."""
    return LayerWeights(*(None if w is None else torch.empty_like(w) for w in layer.weights))


def _addresses(of_weights: Sequence[LayerWeights]) -> "ctypes.Array":
    """``OfWeights`` of the C++ source for each layer."""
    flat = [w if w is None else w.data_ptr() for of_layer in of_weights for w in of_layer]
    return (ctypes.c_void_p * len(flat))(*flat)


class GraphStruct(ctypes.Structure):
    """``Graph`` of the C++ source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("nodes", "edges", "groups", "threads")),
        *((name, ctypes.c_void_p) for name in ("species", "senders", "receivers")),
        *((name, ctypes.c_void_p) for name in ("order", "group_starts")),
        *((name, ctypes.c_void_p) for name in ("receiver_starts", "by_sender", "sender_starts")),
    )


class _LayerStruct(ctypes.Structure):
    """``Layer`` of the C++ source."""

    _fields_ = (
        *((name, LinearStruct) for name in ("linear_in", "linear_out", "own")),
        ("convolution", ConvolutionStruct),
        ("table", ctypes.c_void_p),
        ("gate", GateStruct),
        ("scalars", ctypes.c_int64),
        ("num_scalars", ctypes.c_int64),
    )

    @classmethod
    def of(cls, layer: Layer, packed: Iterator[LinearStruct]) -> "_LayerStruct":
        """The layer, with the next of the packed maps for those that it has."""
        table, terms = cast(Tensor, layer.weights.table), 4  # of a cubic spline
        return cls(
            *(LinearStruct() if each is None else next(packed) for each in layer.maps),
            ConvolutionStruct.of(layer.plan, layer.coupling, table, terms),
            table.data_ptr(),
            layer.gate.struct,
            layer.scalars.start,
            layer.scalars.stop - layer.scalars.start,
        )


class _LayersStruct(ctypes.Structure):
    """``Layers`` of the C++ source."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("layer", ctypes.c_void_p),
        ("edge_basis", EdgeBasisStruct),
    )
