"""The model's twin: the same network, written with e3nn's modules and plain PyTorch.

The twin is what an e3nn user writes for NequIP: features in e3nn's layout (``mul_ir``), the radial
MLP on every edge, gather, tensor product, scatter. With the weights of a
:class:`~molnet.models.Model` it gives the same energies and forces; the tests check ten digits. So
the two can be compared in speed.

Dimension letters: N atoms, E edges, G structures, S species, C channels.
"""

import copy
import math
from collections.abc import Iterable
from typing import cast

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from e3nn.math import soft_one_hot_linspace
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu

from molnet.graph.container import Graph
from molnet.models import Model
from molnet.models.heads import Extensive
from molnet.models.interaction import Interaction
from molnet.nn.radial import PolynomialEnvelope

EXTENSIVE = {"energy": "extensive"}


class TwinLayer(nn.Module):
    """NequIP's interaction: Linear, convolution, Linear, plus the self-connection, then Gate.

    Args:
        irreps_in: of the node features.
        irreps_harmonics: of the edges.
        irreps_hidden: features of the output, as far as they can be reached.
        num_species: S.
        divisor: the sum over neighbours is divided by it.
        radial: widths of the radial MLP, without the last one.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_harmonics: o3.Irreps,
        irreps_hidden: o3.Irreps,
        num_species: int,
        divisor: float,
        radial: list[int],
    ) -> None:
        super().__init__()
        self.irreps_in = irreps_in
        self.divisor = divisor
        scalars = o3.Irreps([(mul, ir) for mul, ir in irreps_hidden if ir.l == 0])
        gated = o3.Irreps([(mul, ir) for mul, ir in irreps_hidden if ir.l > 0])
        gates = o3.Irreps([(mul, "0e") for mul, _ in gated])
        self.gate = e3nn_nn.Gate(
            scalars, [silu for _ in scalars], gates, [torch.sigmoid for _ in gates], gated
        )
        self.irreps_out = self.gate.irreps_out

        paths = [
            (i, j, (mul, ir_out))
            for i, (mul, ir) in enumerate(irreps_in)
            for j, (_, ir_harmonic) in enumerate(irreps_harmonics)
            for ir_out in ir * ir_harmonic
            if ir_out in irreps_hidden
        ]
        messages, place, _ = o3.Irreps([out for _, _, out in paths]).sort()
        self.product = o3.TensorProduct(
            irreps_in,
            irreps_harmonics,
            messages,
            [(i, j, place[k], "uvu", True) for k, (i, j, _) in enumerate(paths)],
            shared_weights=False,
            internal_weights=False,
        )
        self.radial = e3nn_nn.FullyConnectedNet([*radial, self.product.weight_numel], silu)
        self.linear_in = o3.Linear(irreps_in, irreps_in)
        self.linear_out = o3.Linear(messages.simplify(), self.gate.irreps_in)
        self.self_connection = o3.FullyConnectedTensorProduct(
            irreps_in, f"{num_species}x0e", self.gate.irreps_in
        )

    def forward(
        self,
        x: Tensor,
        species: Tensor,
        basis: Tensor,
        harmonics: Tensor,
        senders: Tensor,
        receivers: Tensor,
    ) -> Tensor:
        """Features ``[N, irreps_in.dim]`` to ``[N, irreps_out.dim]``."""
        sent = self.linear_in(x).index_select(0, senders)
        messages = self.product(sent, harmonics, self.radial(basis))  # (E, ...)
        total = messages.new_zeros(x.shape[0], messages.shape[1]).index_add(0, receivers, messages)
        update = self.linear_out(total / self.divisor)
        return self.gate(update + self.self_connection(x, species))

    @torch.no_grad()
    def copy_weights(self, ours: Interaction) -> None:
        """Take the weights of molnet's interaction.

        Only the self-connection is scaled differently: e3nn divides its sum by the square root of
        channels times species, molnet by the square root of the channels.
        """
        self.linear_in.weight.copy_(ours.linear_in.weight)
        self.linear_out.weight.copy_(ours.linear_out.weight)
        for layer, values in zip(self.radial, ours.radial.mlp.parameters(), strict=True):
            layer.weight.copy_(values)
        of_irreps = ours.self_connection.weight_views()
        for _, path, weight in self.self_connection.weight_views(yield_instruction=True):
            own = of_irreps[str(self.irreps_in[path.i_in1].ir)]  # (S, C, C)
            weight.copy_(math.sqrt(own.shape[0]) * own.transpose(0, 1))


class Twin(nn.Module):
    """Energies and forces like a :class:`~molnet.models.Model` with the same settings.

    New e3nn modules take torch's default dtype for their constants: set that first.

    Args:
        model: provides settings and weights. Its only head is ``extensive`` and named ``energy``,
            and its network has ``num_knots=None`` (no spline) and ``parity=False``.

    Raises:
        ValueError: the model has other settings.
    """

    species_index: Tensor
    references: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        network = model.network
        _check(model)
        interactions = cast(Iterable[Interaction], network.interactions)
        self.forces = model.energy is not None
        self.cutoff = model.cutoff
        self.num_radial = network.bessel.num
        self.power = cast(PolynomialEnvelope, network.envelope).power
        self.num_species = network.num_species
        self.register_buffer("species_index", model._species_index.clone())

        irreps_harmonics = o3.Irreps(str(network.harmonics.irreps_out))
        self.harmonics = o3.SphericalHarmonics(
            irreps_harmonics, normalize=True, normalization="component"
        )
        self.embedding = nn.Embedding.from_pretrained(network.embedding.weight.clone(), False)
        self.layers = nn.ModuleList()
        for ours in interactions:
            layer = TwinLayer(
                o3.Irreps(str(ours.convolution.irreps_in)),
                irreps_harmonics,
                o3.Irreps(str(ours.irreps_out)),
                network.num_species,
                network.divisor,
                ours.radial.mlp.hs[:-1],
            )
            layer.copy_weights(ours)
            self.layers.append(layer)
        head = cast(Extensive, model.heads["energy"])
        self.readout = copy.deepcopy(head.readout)
        self.scale = head.scale
        self.register_buffer("references", head._references.clone())

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Energies ``[G]`` in float64 and, if the model has them, forces ``[N, 3]``."""
        if not self.forces:
            return {"energy": self.energies(graph, graph.pos)}
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            positions = graph.pos.detach().requires_grad_()
            energies = self.energies(graph, positions)
            (gradient,) = torch.autograd.grad(
                energies.sum(), positions, create_graph=differentiable, materialize_grads=True
            )
        return {"energy": energies if differentiable else energies.detach(), "forces": -gradient}

    def energies(self, graph: Graph, positions: Tensor) -> Tensor:
        """Energies ``[G]`` for positions ``[N, 3]``."""
        senders, receivers = graph.edge_index
        vectors = positions.index_select(0, senders) - positions.index_select(0, receivers)
        if "shifts" in graph:
            cells = graph.cell[graph.batch[receivers]]  # (E, 3, 3)
            vectors = vectors + torch.einsum("ea,eax->ex", graph.shifts, cells)
        distances = vectors.norm(dim=1)  # (E,)
        basis = soft_one_hot_linspace(
            distances, 0.0, self.cutoff, self.num_radial, basis="bessel", cutoff=False
        )
        # A message is linear in the weights and in the harmonics. There are far fewer harmonics, so
        # the envelope of the weights is applied to these, once for all layers.
        harmonics = self.harmonics(vectors) * self.envelope(distances).unsqueeze(1)

        indices = self.species_index[graph.species]
        species = one_hot(indices, self.num_species).to(positions.dtype)  # (N, S)
        x = self.embedding(indices)  # (N, C)
        scalars = []
        for layer in self.layers:
            x = layer(x, species, basis, harmonics, senders, receivers)
            scalars.append(x[:, : self.embedding.embedding_dim])
        learned = self.scale * self.readout(torch.cat(scalars, dim=1)).squeeze(1)  # (N,)
        totals = torch.zeros(graph.num_graphs, dtype=torch.float64, device=positions.device)
        return totals.index_add(0, graph.batch, learned.double() + self.references[graph.species])

    def envelope(self, distances: Tensor) -> Tensor:
        """Gasteiger's polynomial (ICLR 2020, eq. 8)."""
        p, x = self.power, distances / self.cutoff
        u = (
            1
            - (p + 1) * (p + 2) / 2 * x**p
            + p * (p + 2) * x ** (p + 1)
            - p * (p + 1) / 2 * x ** (p + 2)
        )
        return u * (x < 1)


def _check(model: Model) -> None:
    settings = model.config["network"]
    wrong = [
        f"{name}={value!r}"
        for name, value, wanted in (
            ("heads", {k: v["kind"] for k, v in model.config["heads"].items()}, EXTENSIVE),
            ("num_knots", settings.get("num_knots", 64), None),
            ("parity", settings.get("parity", False), False),
            ("correlation", settings.get("correlation", 1), 1),
            ("l_features", settings.get("l_features"), None),
            ("repulsion", settings.get("repulsion", False), False),
            ("radial_basis", settings.get("radial_basis", "bessel"), "bessel"),
            ("envelope", settings.get("envelope", "polynomial"), "polynomial"),
            ("trainable_basis", settings.get("trainable_basis", False), False),
        )
        if value != wanted
    ]
    if wrong:
        raise ValueError(
            f"expected a model with heads={EXTENSIVE}, num_knots=None and parity=False, "
            f"got {', '.join(wrong)}"
        )
