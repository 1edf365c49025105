"""One layer of the network: messages over the edges, an update of every node, a gate.

Features are kept in layout ``ir_mul`` throughout (components outermost, channels contiguous).
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from molnet.kernels import Edges, RadialTables, RowGroups, Weights
from molnet.nn.activation import NormalizedFunction, normalize2mom
from molnet.nn.convolution import Convolution
from molnet.nn.gate import Gate
from molnet.nn.mlp import FullyConnectedNet
from molnet.nn.mlp import Layer as MLPLayer
from molnet.nn.species_linear import SpeciesLinear
from molnet.nn.symmetric_power import SymmetricPower
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
        self.factor = normalize2mom(silu).cst  # of the activation in the hidden layers

    @staticmethod
    def tables(
        networks: Sequence["RadialWeights"], bessel: Tensor, interpolation: Tensor
    ) -> list[Tensor]:
        """Several networks at the same P distances, with a matrix before the last layer.

        Args:
            networks: alike but for their ``weight_numel``.
            bessel: functions of the distances ``[P, n]``, constant.
            interpolation: ``[Q, P]``, takes the place of the envelope; constant.

        Returns:
            ``[Q, weight_numel]`` of each network.
        """
        layers = [cast(Sequence[MLPLayer], network.mlp) for network in networks]
        scales = tuple(layer.scale for layer in layers[0])
        tables = RadialTables(bessel, interpolation, scales, networks[0].factor)
        return tables([[layer.weight for layer in of_network] for of_network in layers])

    @staticmethod
    def is_usual(network: nn.Module) -> bool:
        """Whether a network does just what :meth:`tables` does for all together."""
        if type(network) is not RadialWeights or type(network.mlp) is not FullyConnectedNet:
            return False
        *hidden, last = network.mlp
        usual = (
            type(layer) is MLPLayer
            and type(layer.act) is NormalizedFunction
            and (layer.act.f, layer.act.cst, layer.var_out) == (silu, network.factor, 1)
            for layer in hidden
        )
        return all(usual) and type(last) is MLPLayer and last.act is None

    def forward(self, bessel: Tensor, envelope: Tensor) -> Tensor:
        """Weights ``[P, weight_numel]`` from functions ``[P, n]`` and the envelope ``[P, 1]``."""
        *hidden, last = self.mlp
        for layer in hidden:
            bessel = layer(bessel)
        return last(envelope * bessel)


class Interaction(nn.Module):
    """One round of message passing.

    Linear -> convolution over the neighbours -> Linear, and with a correlation products of the
    result with itself; plus a linear map of the node's own features with weights of its species;
    then a gate (Batzner et al., Nat. Commun. 2022, Fig. 1).

    Args:
        irreps_in: features coming in.
        irreps_harmonics: edge harmonics.
        irreps_messages: messages to sum, as far as they can be reached.
        irreps_hidden: features to come out, as far as the messages have them.
        num_species: number of species.
        num_radial, radial_hidden: see :class:`RadialWeights`.
        correlation: degree of the products of the messages, see
            :class:`~molnet.nn.SymmetricPower`; 1 for none.

    Attributes:
        irreps_out: outgoing features.
        scalars: where the even scalars are among them.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_harmonics: Irreps,
        irreps_messages: Irreps,
        irreps_hidden: Irreps,
        num_species: int,
        num_radial: int,
        radial_hidden: list[int],
        correlation: int = 1,
    ) -> None:
        super().__init__()
        self.linear_in = Linear(irreps_in, irreps_in, layout="ir_mul")
        self.convolution = Convolution(irreps_in, irreps_harmonics, irreps_messages)
        self.radial = RadialWeights(num_radial, radial_hidden, self.convolution.weight_numel)

        reachable = {ir for _, ir in self.convolution.irreps_out}
        messages = Irreps([(mul, ir) for mul, ir in irreps_messages if ir in reachable])
        kept = Irreps([(mul, ir) for mul, ir in irreps_hidden if ir in reachable])
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
        gathered, update = self.convolution.irreps_out, self.gate.irreps_in
        self.power: SymmetricPower | None = None
        if correlation > 1:
            self.power = SymmetricPower(num_species, messages, kept, correlation)
            self.linear_power = Linear(kept, update, layout="ir_mul")
        sent = update if self.power is None else messages
        self.linear_out = Linear(gathered, sent, layout="ir_mul")
        self.self_connection = SpeciesLinear(num_species, irreps_in, self.gate.irreps_in)
        self.irreps_out = self.gate.irreps_out
        outgoing = [ir for _, ir in self.irreps_out]
        self.scalars = self.irreps_out.slices()[outgoing.index(Irrep("0e"))]

    def forward(
        self, x: Tensor, species: RowGroups, harmonics: Tensor, weights: Weights, edges: Edges
    ) -> Tensor:
        """One round of message passing.

        Args:
            x: features ``[N, irreps_in.dim]``.
            species: the nodes grouped by species.
            harmonics: ``[E, irreps_harmonics.dim]``.
            weights: values of the radial functions of :attr:`radial` on the edges.
            edges: E edges.

        Returns:
            Features ``[N, irreps_out.dim]``.
        """
        messages = self.convolution(self.linear_in(x), harmonics, weights, edges)
        update = self.linear_out(messages)
        if self.power is not None:
            update = self.linear_power(self.power(update, species))
        return self.gate(update + self.self_connection(x, species))
