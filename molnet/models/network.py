"""The message-passing network: species and edge vectors in, equivariant node features out.

Dimension letters: N nodes, E edges, S species, C channels, T layers.
Features are kept in layout ``ir_mul`` throughout (components outermost, channels contiguous).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from molnet.kernels import (
    CompiledEdgeBasis,
    CompiledLayers,
    Edges,
    Keeps,
    LayerWeights,
    RowGroups,
    Weights,
)
from molnet.models.frozen import is_frozen, state_of
from molnet.models.interaction import Interaction, RadialWeights
from molnet.models.layers import Setting
from molnet.models.propagation import evaluate, propagate
from molnet.nn.radial import BesselBasis, PolynomialEnvelope
from molnet.nn.spline import CubicSpline
from molnet.o3.constants import Constants
from molnet.o3.irreps import Irrep, Irreps
from molnet.o3.spherical_harmonics import SphericalHarmonics

_requires_grad = attrgetter("requires_grad")


class Features(NamedTuple):
    """What the network knows of each node.

    Attributes:
        scalars: the invariants of all layers side by side, ``[N, T * C]``.
        tensors: the features of the last layer, ``[N, Network.irreps_out.dim]``, ``ir_mul``.
    """

    scalars: Tensor
    tensors: Tensor


class Network(nn.Module):
    """Embedding of the species, then ``num_layers`` interactions.

    Args:
        num_species: number of species S.
        mean_neighbours: average number of neighbours in the training set, by which the sums over
            neighbours are divided.
        cutoff: radius of the graph in Å.
        channels: multiplicity C of every irrep.
        l_max: highest degree of features and harmonics.
        num_layers: number of interactions T.
        parity: keep both parities of each degree (twice the features), or only those of the
            harmonics, ``0e + 1o + 2e + ...``.
        num_radial: number of Bessel functions.
        radial_hidden: widths of the hidden layers of the radial networks.
        envelope_power: ``p`` of the polynomial envelope.
        num_knots: knots at which the radial networks are evaluated; a cubic spline through them is
            the radial function. None evaluates the networks on every edge instead: many times
            slower, and the reference for the spline.
        l_out: highest degree that the last layer has to provide.
    """

    def __init__(
        self,
        num_species: int,
        mean_neighbours: float,
        *,
        cutoff: float = 5.0,
        channels: int = 64,
        l_max: int = 2,
        num_layers: int = 3,
        parity: bool = False,
        num_radial: int = 8,
        radial_hidden: Sequence[int] = (64, 64),
        envelope_power: int = 6,
        num_knots: int | None = 64,
        l_out: int = 0,
    ) -> None:
        super().__init__()
        if l_out > l_max:
            raise ValueError(
                f"the targets need features of degree {l_out}, but the network stops at "
                f"l_max={l_max}: set model.l_max={l_out} or more"
            )
        if num_layers < 1 or channels < 1:
            raise ValueError(
                f"expected num_layers >= 1 and channels >= 1, got {num_layers} and {channels}"
            )
        irreps_harmonics = Irreps.spherical_harmonics(l_max)
        parities = (1, -1) if parity else (1,)
        self.spline = None if num_knots is None else CubicSpline(cutoff, num_knots)
        hidden_widths = list(radial_hidden)
        support = cutoff if self.spline is None else self.spline.support
        self.bessel = BesselBasis(support, num_radial)
        self.envelope = PolynomialEnvelope(support, envelope_power)
        self.mean_neighbours = mean_neighbours
        self.at_knots = Constants([] if self.spline is None else self._at_knots(self.spline))
        self.num_species, self.l_max = num_species, l_max
        self.harmonics = SphericalHarmonics(
            irreps_harmonics, normalize=True, normalization="component"
        )
        self.edge_basis = (
            None
            if num_knots is None
            else CompiledEdgeBasis(
                tuple(math.sqrt(2 * l + 1) for l in range(l_max + 1)),  # component normalisation
                True,
                num_knots,
                cutoff,
                self._edge_basis_in_pytorch,
            )
        )
        self.embedding = nn.Embedding(num_species, channels)
        self.interactions = nn.ModuleList()
        irreps = Irreps([(channels, Irrep(0, 1))])
        for layer in range(num_layers):
            last = layer == num_layers - 1
            hidden = (
                Irreps(
                    [
                        (channels, Irrep(l, sign * (-1) ** l))
                        for l in range((l_out if last else l_max) + 1)
                        for sign in parities
                    ]
                )
                .sort()
                .irreps
            )
            interaction = Interaction(
                irreps,
                irreps_harmonics,
                hidden,
                num_species,
                num_radial,
                hidden_widths,
            )
            self.interactions.append(interaction)
            irreps = interaction.irreps_out
        self.irreps_out = irreps
        self.num_scalars = num_layers * channels

    def forward(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> Features:
        """Features of all nodes.

        Args:
            species: species indices ``[N]``.
            vectors: ``r_j − r_i + S·cell``, from receiver i to sender j, ``[E, 3]``, Å.
            senders, receivers: ``[E]``, receivers ascending.

        On the CPU kernels do all layers in one pass: hooks on the modules inside do not run.

        Raises:
            TypeError: when the vectors are not of the weights' type.
            ValueError: when there is not one for each edge, the receivers do not ascend, an index
                is out of range, or the graph is on another device than the weights.
        """
        self._check(species, vectors, senders, receivers)
        if (prepared := self._prepared()) is not None:
            weights, layers = prepared
            setting = self._setting(layers, species, senders, receivers)
            return Features(*propagate(setting, vectors, self.embedding(species), weights))
        order = RowGroups.of(species, self.num_species)
        edges = Edges.of(senders, receivers, species.shape[0])
        harmonics, weights_of = self._of_edges(vectors)

        x = self.embedding(species)  # (N, C)
        scalars = []
        for interaction in cast(Iterable[Interaction], self.interactions):
            x = interaction(x, order, weights_of, harmonics, edges)
            scalars.append(x[:, interaction.scalars])  # (N, C)
        return Features(torch.cat(scalars, dim=1), x)

    @torch.no_grad()
    def evaluate(
        self,
        species: Tensor,
        vectors: Tensor,
        senders: Tensor,
        receivers: Tensor,
        keeps: Keeps = "steps",
    ) -> tuple[Features, Callable[[Tensor], Tensor]]:
        """The same as :meth:`forward`, with nothing recorded by autograd.

        Args:
            species, vectors, senders, receivers: as :meth:`forward` takes them.
            keeps: "nothing" where gradients are of no use.

        Returns:
            The features, and a function from gradients of the scalars to those of the vectors; not
            to be called where nothing was kept.
        """
        self._check(species, vectors, senders, receivers)
        if (prepared := self._prepared()) is not None:
            setting = self._setting(prepared[1], species, senders, receivers)
            x = self.embedding.weight.index_select(0, species)
            *features, pull_back = evaluate(setting, vectors, x, keeps)
            return Features(*features), pull_back
        if keeps == "nothing":
            features = self(species, vectors, senders, receivers)
        else:
            with torch.inference_mode(False), torch.enable_grad():
                # Copies, since what inference mode made cannot be differentiated.
                species, senders, receivers = species.clone(), senders.clone(), receivers.clone()
                vectors = vectors.clone().requires_grad_()
                features = self(species, vectors, senders, receivers)

        def by_autograd(of_scalars: Tensor) -> Tensor:
            # Isolated atoms have no edges, so their features do not depend on positions.
            (of_vectors,) = torch.autograd.grad(
                features.scalars, vectors, of_scalars, materialize_grads=True
            )
            return of_vectors

        return Features(*(tensor.detach() for tensor in features)), by_autograd

    def _check(self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor) -> None:
        """What kernels trust: they read memory by address."""
        like = self.embedding.weight
        if vectors.dtype != like.dtype:
            raise TypeError(
                f"expected vectors in {like.dtype}, the type of the network's weights, got "
                f"{vectors.dtype}: convert one of them"
            )
        if vectors.shape != (len(senders), 3):
            raise ValueError(
                f"expected vectors [{len(senders)}, 3], one for each edge, got "
                f"{list(vectors.shape)}"
            )
        devices = [each.device for each in (species, vectors, senders, receivers)]
        if any(device != like.device for device in devices):
            raise ValueError(
                f"expected the graph on {like.device}, where the network's weights are, got "
                f"species, vectors, senders and receivers on {', '.join(map(str, devices))}"
            )

    def _setting(
        self, layers: CompiledLayers, species: Tensor, senders: Tensor, receivers: Tensor
    ) -> Setting:
        return Setting(layers, species, self.num_species, senders, receivers)

    def _prepared(self) -> tuple[list[LayerWeights], CompiledLayers] | None:
        """What follows from the weights alone, kept by frozen copies; None without kernels."""
        like = self.embedding.weight
        if (
            self.edge_basis is None
            or not self.edge_basis.serves(like)
            or torch.is_autocast_enabled(like.device.type)
        ):
            return None
        if not is_frozen(self):
            return self._prepare()
        # Looked up where they are, as they may have been replaced since.
        weights = list(map(dict.__getitem__, *self._places()))
        if any(map(_requires_grad, weights)):
            return self._prepare()
        kept = self.__dict__.get("_kept")
        if kept is None or kept[1] != state_of(weights):
            with torch.inference_mode(False), torch.no_grad():
                kept = weights, state_of(weights), self._prepare()
            self.__dict__["_kept"] = kept
        return kept[2]

    def _places(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Where the weights are: dictionaries of modules, and the names in them."""
        places = self.__dict__.get("_places_of_weights")
        if places is None:
            names = [
                (m, n) for m in self.modules() for n, w in m._parameters.items() if w is not None
            ]
            places = [module._parameters for module, _ in names], [name for _, name in names]
            self.__dict__["_places_of_weights"] = places
        return places

    def __getstate__(self) -> dict[str, Any]:
        """All but what is kept: it follows from the weights, and holds addresses."""
        kept = ("_kept", "_places_of_weights")
        return {name: value for name, value in self.__dict__.items() if name not in kept}

    def _prepare(self) -> tuple[list[LayerWeights], CompiledLayers] | None:
        interactions = cast(Sequence[Interaction], self.interactions)
        if not all(each.has_kernels(self.embedding.weight) for each in interactions):
            return None
        weights = [
            each.weights(table) for each, table in zip(interactions, self.tables(), strict=True)
        ]
        layers = [each.as_layer(own) for each, own in zip(interactions, weights, strict=True)]
        return weights, CompiledLayers(cast(CompiledEdgeBasis, self.edge_basis), layers)

    def tables(self) -> list[Tensor]:
        """Coefficients of all splines, ``[num_knots + 3, weight_numel]`` for each interaction."""
        interactions = cast(Sequence[Interaction], self.interactions)
        return RadialWeights.tables([each.radial for each in interactions], *self.at_knots)

    def _of_edges(self, vectors: Tensor) -> tuple[Tensor, Callable[[RadialWeights], Weights]]:
        """Harmonics ``[E, (l_max + 1)²]``, and how a radial network makes weights."""
        if self.spline is None:
            functions = self._radial_basis(vectors.norm(dim=1))
            return self.harmonics(vectors), lambda network: Weights.of_edges(network(*functions))
        if self.edge_basis is not None and self.edge_basis.serves(vectors):
            harmonics, basis, rows = self.edge_basis(vectors)
        else:
            harmonics = self.harmonics(vectors)
            basis, rows = self.spline(vectors.norm(dim=1))  # (E, 4), (E,)
        radial = [each.radial for each in cast(Iterable[Interaction], self.interactions)]
        tables = dict(zip(radial, self.tables(), strict=True))
        return harmonics, lambda network: Weights(basis, tables[network], rows)

    def _edge_basis_in_pytorch(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        basis, _ = cast(CubicSpline, self.spline)(vectors.norm(dim=1))
        return self.harmonics(vectors), basis

    def _radial_basis(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Bessel functions ``[P, n]``; envelope over the number of neighbours, ``[P, 1]``."""
        envelope = self.envelope(distances) / self.mean_neighbours
        return self.bessel(distances), envelope.unsqueeze(-1)

    def _at_knots(self, spline: CubicSpline) -> list[Tensor]:
        """Bessel functions at the knots; the matrix from functions there to the spline's table."""
        bessel, envelope = self._radial_basis(spline.knots())
        return [bessel, spline.interpolation() * envelope.t()]
