"""The message-passing network: species and edge vectors in, equivariant node features out.

Dimension letters: N nodes, E edges, S species, C channels, T layers.
Features are kept in layout ``ir_mul`` throughout (components outermost, channels contiguous).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from molnet.kernels import (
    BoundProgram,
    Edges,
    Keeps,
    RowGroups,
    Weights,
)
from molnet.models.derived import Compilable, Keeper, Knots
from molnet.models.interaction import Interaction, RadialWeights
from molnet.models.propagation import GraphProgram, evaluate, propagate
from molnet.nn.radial import BASES, ENVELOPES
from molnet.nn.spline import CubicSpline
from molnet.o3.irreps import Irrep, Irreps
from molnet.o3.spherical_harmonics import SphericalHarmonics

AGGREGATIONS = {"root": 0.5, "mean": 1.0}
"""Powers of the mean number of neighbours by which sums over neighbours may be divided."""


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
        mean_neighbours: average number n of neighbours in the training set.
        cutoff: radius of the graph in Å.
        channels: multiplicity C of every irrep.
        l_max: highest degree of harmonics and messages.
        l_features: highest degree of the features between layers; None for ``l_max``.
        num_layers: number of interactions T.
        parity: keep both parities of each degree (twice the features), or only those of the
            harmonics, ``0e + 1o + 2e + ...``.
        num_radial: number of functions in the radial basis.
        radial_hidden: widths of the hidden layers of the radial networks.
        envelope_power: ``p`` of the polynomial envelope.
        radial_basis, envelope: keys of :data:`molnet.nn.radial.BASES` and ``ENVELOPES``.
        trainable_basis: whether the frequencies, or centres, of the basis are trained; the radial
            networks at the knots are then evaluated by PyTorch.
        num_knots: knots at which the radial networks are evaluated; a cubic spline through them is
            the radial function. None evaluates the networks on every edge instead: many times
            slower, and the reference for the spline.
        aggregation: what sums over neighbours are divided by, a key of :data:`AGGREGATIONS`:
            "root" for √n, which keeps the variance of messages that are independent, "mean" for n.
        correlation: degree of the products of messages in every interaction; 1 for none.
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
        l_features: int | None = None,
        num_layers: int = 2,
        parity: bool = False,
        num_radial: int = 8,
        radial_hidden: Sequence[int] = (64, 64),
        envelope_power: int = 6,
        radial_basis: str = "bessel",
        envelope: str = "polynomial",
        trainable_basis: bool = False,
        num_knots: int | None = 64,
        aggregation: str = "root",
        correlation: int = 2,
        l_out: int = 0,
    ) -> None:
        super().__init__()
        if l_out > l_max:
            raise ValueError(
                f"the targets need features of degree {l_out}, but the network stops at "
                f"l_max={l_max}: set model.l_max={l_out} or more"
            )
        between = l_max if l_features is None else l_features
        if between > l_max:
            raise ValueError(f"expected l_features <= l_max, got {l_features} > {l_max}")
        if num_layers < 1 or channels < 1:
            raise ValueError(
                f"expected num_layers >= 1 and channels >= 1, got {num_layers} and {channels}"
            )
        irreps_harmonics = Irreps.spherical_harmonics(l_max)
        parities = (1, -1) if parity else (1,)

        def irreps_to(highest: int) -> Irreps:
            degrees = range(highest + 1)
            kinds = [Irrep(l, sign * (-1) ** l) for l in degrees for sign in parities]
            return Irreps([(channels, ir) for ir in kinds]).sort().irreps

        self.spline = None if num_knots is None else CubicSpline(cutoff, num_knots)
        hidden_widths = list(radial_hidden)
        support = cutoff if self.spline is None else self.spline.support
        self.bessel = BASES[radial_basis](support, num_radial, trainable_basis)
        self.envelope = ENVELOPES[envelope](support, envelope_power)
        self.mean_neighbours = mean_neighbours
        self.divisor = mean_neighbours ** AGGREGATIONS[aggregation]
        self.num_species, self.l_max, self.cutoff = num_species, l_max, cutoff
        self.kept = Keeper()
        self.harmonics = SphericalHarmonics(
            irreps_harmonics, normalize=True, normalization="component"
        )
        self.embedding = nn.Embedding(num_species, channels)
        self.interactions = nn.ModuleList()
        irreps = Irreps([(channels, Irrep(0, 1))])
        for layer in range(num_layers):
            hidden = irreps_to(l_out if layer == num_layers - 1 else between)
            # Products of messages of any degree have lower ones among them.
            messages = hidden if correlation == 1 else irreps_to(l_max)
            interaction = Interaction(
                irreps,
                irreps_harmonics,
                messages,
                hidden,
                num_species,
                num_radial,
                hidden_widths,
                correlation,
            )
            self.interactions.append(interaction)
            irreps = interaction.irreps_out
        self.irreps_out = irreps
        self.num_scalars = num_layers * channels

    def forward(
        self,
        species: Tensor,
        vectors: Tensor,
        senders: Tensor,
        receivers: Tensor,
        bound: BoundProgram | None = None,
    ) -> Features:
        """Features of all nodes.

        Args:
            species: species indices ``[N]``.
            vectors: ``r_j − r_i + S·cell``, from receiver i to sender j, ``[E, 3]``, Å.
            senders, receivers: ``[E]``, receivers ascending.
            bound: what :meth:`bind` returned for the present weights; None to ask it.

        Raises:
            TypeError: when the vectors are not of the weights' type.
            ValueError: when there is not one for each edge, the receivers do not ascend, an index
                is out of range, or the graph is on another device than the weights.
        """
        self._check(species, vectors, senders, receivers)
        weights = None
        if bound is None and (ready := self._ready()) is not None:
            weights = self._weights_of(ready)
            bound = BoundProgram(ready.program, ready.edge_basis, weights, self.embedding.weight)
        if bound is not None:
            program = GraphProgram(bound, species, self.num_species, senders, receivers)
            x = self.embedding(species)  # (N, C)
            return Features(*propagate(program, vectors, x, weights or bound.weights))
        return self.by_modules(species, vectors, senders, receivers)

    def by_modules(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> Features:
        """The same, module by module."""
        order = RowGroups.of(species, self.num_species)
        edges = Edges.of(senders, receivers, species.shape[0])
        harmonics, radial = self.harmonics(vectors), self.radial_weights(vectors.norm(dim=1))
        return Features(*self.layers(self.embedding(species), order, harmonics, radial, edges))

    def layers(
        self,
        x: Tensor,
        species: RowGroups,
        harmonics: Tensor,
        weights: Sequence[Weights],
        edges: Edges,
    ) -> tuple[Tensor, Tensor]:
        """All interactions: the statement from which the kernels' passes are derived.

        Args:
            x: features of the species ``[N, C]``.
            species: the nodes grouped by species.
            harmonics: of the edges, ``[E, (l_max + 1)²]``.
            weights: the radial functions of each interaction on the edges.
            edges: E edges.

        Returns:
            The invariants of all layers side by side, and the features of the last.
        """
        invariants = []
        for interaction, own in zip(self.interactions, weights, strict=True):
            x = interaction(x, species, harmonics, own, edges)
            invariants.append(x[:, cast(slice, interaction.scalars)])  # (N, C)
        return torch.cat(invariants, dim=1), x

    @torch.no_grad()
    def evaluate(
        self,
        species: Tensor,
        vectors: Tensor,
        senders: Tensor,
        receivers: Tensor,
        keeps: Keeps = "steps",
        bound: BoundProgram | None = None,
    ) -> tuple[Features, Callable[[Tensor], Tensor]]:
        """The same as :meth:`forward`, with nothing recorded by autograd.

        Args:
            species, vectors, senders, receivers, bound: as :meth:`forward` takes them.
            keeps: "nothing" where gradients are of no use.

        Returns:
            The features, and a function from gradients of the scalars to those of the vectors; not
            to be called where nothing was kept.
        """
        bound = bound or self.bind()
        if bound is not None:
            self._check(species, vectors, senders, receivers)
            program = GraphProgram(bound, species, self.num_species, senders, receivers)
            *features, pull_back = evaluate(program, vectors, self.embedding(species), keeps)
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

    def bind(self, copied: bool = False) -> BoundProgram | None:
        """The layers as steps of kernels with the present weights; None where they do not serve.

        Args:
            copied: whether it shall not see what is written into the weights later.
        """
        if (ready := self._ready()) is None:
            return None
        with torch.inference_mode(False), torch.no_grad():
            weights = self._weights_of(ready)
            if copied:
                weights = [weight.clone() for weight in weights]
            return BoundProgram(ready.program, ready.edge_basis, weights, self.embedding.weight)

    def why_not_compiled(self) -> str | None:
        """What the kernels cannot do of the modules as they are now; None if nothing."""
        return self.kept.of(self).refusal

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

    def _ready(self) -> Compilable | None:
        """What kernels need of the modules as they are now, if kernels serve it."""
        like = self.embedding.weight
        if torch.is_autocast_enabled(like.device.type):
            return None
        compilable = self.kept.of(self).compilable
        return compilable if compilable is not None and compilable.serves(like) else None

    def _weights_of(self, compilable: Compilable) -> list[Tensor]:
        """The weights of a program's steps."""
        tables = self.tables(compilable.knots)
        return [
            tables[each] if isinstance(each, int) else cast(Tensor, each.weight)
            for each in compilable.weights
        ]

    def tables(self, knots: Knots | None = None) -> list[Tensor]:
        """Coefficients of all splines, ``[num_knots + 3, weight_numel]`` for each interaction.

        Args:
            knots: where all radial networks are as usual; None evaluates them one by one.
        """
        spline, like = cast(CubicSpline, self.spline), self.embedding.weight
        networks = [interaction.radial for interaction in self._interactions]
        if knots is not None:
            return RadialWeights.tables(networks, *(constant.like(like) for constant in knots))
        functions = self.radial_basis(spline.knots().to(like))
        return [spline.table(network(*functions)) for network in networks]

    @property
    def _interactions(self) -> Sequence[Interaction]:
        return cast(Sequence[Interaction], self.interactions)

    def radial_weights(self, distances: Tensor) -> list[Weights]:
        """The radial functions of each interaction at E distances."""
        if self.spline is None:
            functions = self.radial_basis(distances)
            return [Weights.of_edges(each.radial(*functions)) for each in self._interactions]
        basis, rows = self.spline(distances)  # (E, 4), (E,)
        compilable = self.kept.of(self).compilable
        tables = self.tables(None if compilable is None else compilable.knots)
        return [Weights(basis, table, rows) for table in tables]

    def radial_basis(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Radial functions ``[P, n]``; envelope over what sums are divided by, ``[P, 1]``."""
        envelope = self.envelope(distances) / self.divisor
        return self.bessel(distances), envelope.unsqueeze(-1)
