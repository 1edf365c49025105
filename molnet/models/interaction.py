"""One layer of the network: messages over the edges, an update of every node, a gate.

Features are kept in layout ``ir_mul`` throughout (components outermost, channels contiguous).
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from molnet.kernels import Edges, PackedMap, RowGroups, Weights, compiled
from molnet.models.evaluation import Layer
from molnet.nn.convolution import Convolution
from molnet.nn.gate import Gate
from molnet.nn.mlp import FullyConnectedNet
from molnet.nn.species_linear import SpeciesLinear
from molnet.o3.irreps import Irrep, Irreps
from molnet.o3.linear import Linear


class RadialWeights(nn.Module):
    r"""Weights of the convolution's paths as smooth functions of the distance.

    .. math:: w(r) = u(r)\; \mathrm{MLP}\bigl(B_1(r), \dots, B_n(r)\bigr)

    with Bessel functions :math:`B_n` and a polynomial envelope :math:`u` that takes value, slope
    and curvature to zero at the cutoff (Gasteiger et al., ICLR 2020, eqs. 7 and 8). The last layer
    is linear: what acts on the rows of its result may act on the fewer numbers it starts from.

    Args:
        num_radial: number of Bessel functions.
        hidden: widths of the hidden layers.
        weight_numel: number of functions.
    """

    def __init__(self, num_radial: int, hidden: list[int], weight_numel: int) -> None:
        super().__init__()
        self.mlp = FullyConnectedNet([num_radial, *hidden, weight_numel], silu)

    def hidden(self, bessel: Tensor) -> Tensor:
        """What the last layer starts from, ``[P, hidden[-1]]``, at the P distances of the basis."""
        *layers, _ = self.mlp
        for layer in layers:
            bessel = layer(bessel)
        return bessel

    def last(self, hidden: Tensor) -> Tensor:
        """The last layer: ``[P, weight_numel]``."""
        return self.mlp[-1](hidden)

    def forward(self, bessel: Tensor, envelope: Tensor) -> Tensor:
        """Weights ``[P, weight_numel]`` from functions ``[P, n]`` and the envelope ``[P, 1]``."""
        return self.last(envelope * self.hidden(bessel))


class Interaction(nn.Module):
    """One round of message passing.

    Linear -> convolution over the neighbours -> Linear; plus a linear map of the node's own
    features with weights of its species; then a gate (Batzner et al., Nat. Commun. 2022, Fig. 1).

    Args:
        irreps_in: features coming in.
        irreps_harmonics: edge harmonics.
        irreps_hidden: features to come out, as far as they can be reached.
        num_species: number of species.
        num_radial, radial_hidden: see :class:`RadialWeights`.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_harmonics: Irreps,
        irreps_hidden: Irreps,
        num_species: int,
        num_radial: int,
        radial_hidden: list[int],
    ) -> None:
        super().__init__()
        self.linear_in = Linear(irreps_in, irreps_in, layout="ir_mul")
        self.convolution = Convolution(irreps_in, irreps_harmonics, irreps_hidden)
        self.radial = RadialWeights(num_radial, radial_hidden, self.convolution.weight_numel)

        reachable = {ir for _, ir in self.convolution.irreps_out}
        kept = [(mul, ir) for mul, ir in irreps_hidden if ir in reachable]
        scalars = Irreps([(mul, ir) for mul, ir in kept if ir.l == 0])
        gated = Irreps([(mul, ir) for mul, ir in kept if ir.l > 0])
        gates = Irreps([(mul, Irrep("0e")) for mul, _ in gated])
        self.gate = Gate(
            scalars,
            [silu if ir.p == 1 else torch.tanh for _, ir in scalars],
            gates,
            [torch.sigmoid for _ in gates],
            gated,
            layout="ir_mul",
        )
        self.linear_out = Linear(self.convolution.irreps_out, self.gate.irreps_in, layout="ir_mul")
        self.self_connection = SpeciesLinear(num_species, irreps_in, self.gate.irreps_in)
        self.irreps_out = self.gate.irreps_out

    @property
    def scalars(self) -> slice:
        """Where the even scalars are among the outgoing features."""
        return self.irreps_out.slices()[[ir for _, ir in self.irreps_out].index(Irrep("0e"))]

    @torch.no_grad()
    def as_layer(self, table: Tensor) -> Layer | None:
        """What evaluations need of it; None where kernels are missing.

        Args:
            table: of its radial functions, see :meth:`Network.table`.
        """
        own, gate = self.self_connection, self.gate.compiled
        maps = [
            PackedMap.of(linear.blockwise, cast(Tensor, linear.weight))
            for linear in (self.linear_in, self.linear_out)
            if linear.blockwise is not None
        ]
        if (
            gate is None
            or not gate.serves(table)
            or not compiled.available(table, self.convolution.plan, 4)
        ):
            return None
        linear_in, linear_out = cast(list[PackedMap], maps)
        of_species = PackedMap.of(own.map, own.flat_weights()) if own.weights else None
        return Layer(linear_in, linear_out, of_species, table, self.convolution, gate, self.scalars)

    def forward(
        self,
        x: Tensor,
        species: RowGroups,
        weights_of: Callable[[RadialWeights], Weights],
        harmonics: Tensor,
        edges: Edges,
    ) -> Tensor:
        """One round.

        Args:
            x: features ``[N, irreps_in.dim]``.
            species: the nodes grouped by species.
            weights_of: evaluates a radial network for the edges.
            harmonics: ``[E, irreps_harmonics.dim]``.
            edges: E edges.

        Returns:
            Features ``[N, irreps_out.dim]``.
        """
        messages = self.convolution(self.linear_in(x), harmonics, weights_of(self.radial), edges)
        update = self.self_connection(x, species, onto=self.linear_out(messages))
        return self.gate(update)
