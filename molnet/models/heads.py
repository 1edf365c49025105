"""Heads: from the network's node features to physical properties, in internal units.

Dimension letters: N atoms, G structures.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from molnet.graph.container import Graph
from molnet.graph.elements import ATOMIC_NUMBERS, MASSES
from molnet.graph.geometry import exact_dtype
from molnet.kernels import ReadOut
from molnet.models.head import (
    Head,
    Predicted,
    positions_from_centre,
    readout,
    softmax_over_structures,
    sum_over_structures,
)
from molnet.models.network import Features
from molnet.models.tensor_heads import Polarizability, TensorProperty
from molnet.nn.alteration import altered
from molnet.o3.irreps import Irreps
from molnet.o3.linear import Linear


class Extensive(Head):
    r"""A scalar that adds up over atoms, such as a total energy.

    .. math:: E = \sum_i \bigl( E^{ref}_{Z_i} + s\, e_\theta(\text{scalars}_i) \bigr)

    The references are summed in float64 and so is the total: an energy of −10⁴ eV keeps its meV.

    Args:
        statistics: ``references`` (symbol -> value in the property's unit) and ``scale``.
    """

    def __init__(self, num_scalars: int, irreps_in: Irreps, statistics: dict[str, Any]) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.readout = readout(num_scalars, 1)
        table = torch.zeros(len(MASSES), dtype=torch.float64)
        for symbol, value in statistics.get("references", {}).items():
            table[ATOMIC_NUMBERS[symbol]] = value
        # Not a buffer: it must stay float64 when the model moves to float32.
        self._references = table

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        return Predicted("structure", ())

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Totals ``[G]``, float64 wherever the device has it."""
        if (kernel := self._kernel(features, graph)) is not None:
            return kernel(features.scalars, *self._layers, self._references_of(graph))
        return sum_over_structures(self.of_atoms(features, graph), graph)

    def of_atoms(self, features: Features, graph: Graph) -> Tensor:
        """What each atom adds to the total, with its reference, ``[N]``."""
        references = self._references_of(graph)
        learned = self.scale * self.readout(features.scalars).squeeze(1)
        return learned.to(references.dtype) + references

    def with_gradient(self, features: Features, graph: Graph) -> tuple[Tensor, Tensor]:
        """The totals, and the gradient of their sum by the scalars, not recorded by autograd."""
        usual = type(self).forward is Extensive.forward and not altered(self)
        if usual and (kernel := self._kernel(features, graph)) is not None:
            references = self._references_of(graph)
            return kernel.with_gradient(features.scalars, *self._layers, references)
        with torch.inference_mode(False), torch.enable_grad():
            # Copies, since what inference mode made cannot be differentiated.
            scalars = features.scalars.clone().requires_grad_()
            totals = self(Features(scalars, features.tensors.clone()), graph.clone())
            (gradient,) = torch.autograd.grad(totals.sum(), scalars)
        return totals.detach(), gradient

    def start_from(self, per_atom: float) -> None:
        """Let the untrained head predict about this for each atom, beside the references.

        Energies of isolated atoms leave the bonds to be learned, some eV per atom, which the last
        bias would take many epochs to reach.
        """
        with torch.no_grad():
            self.offset.fill_(per_atom / self.scale)

    def multiply(self, factor: float) -> None:
        """Multiply what the atoms add to their references."""
        with torch.no_grad():
            for parameter in self._layers[1].parameters():
                parameter.mul_(factor)

    @property
    def offset(self) -> nn.Parameter:
        """What all atoms have in common, in units of the scale."""
        return self._layers[1].bias

    @property
    def _layers(self) -> tuple[nn.Linear, nn.Linear]:
        first, _, last = cast(tuple[nn.Linear, nn.Module, nn.Linear], tuple(self.readout))
        return first, last

    def _kernel(self, features: Features, graph: Graph) -> ReadOut | None:
        """What reads out, where there are kernels."""
        if not ReadOut.serves(features.scalars) or altered(self.readout):
            return None
        kinds = (type(module) for module in (self.readout, *self.readout.children()))
        if tuple(kinds) != (nn.Sequential, nn.Linear, nn.SiLU, nn.Linear):
            return None
        return ReadOut(self.scale, graph.batch, len(graph.ptr) - 1)

    def _references_of(self, graph: Graph) -> Tensor:
        device = graph.species.device
        return self._references.to(device, exact_dtype(device)).index_select(0, graph.species)


class Intensive(Head):
    r"""A scalar of the whole structure that does not grow with it, such as an orbital energy.

    .. math:: y = \bar y + s\, f_\theta(p), \quad
              p_k = \sum_i a_{ik}\, v_{\theta,k}(\text{scalars}_i), \quad
              a_{ik} = \mathrm{softmax}_i\, l_{\theta,k}(\text{scalars}_i)

    Weights of their own let each channel :math:`k` look at a few atoms, as frontier orbitals are
    localised, and :math:`f` combines what the channels see: a gap lies between two orbitals.

    Args:
        statistics: ``mean`` and ``scale``.
    """

    CHANNELS = 32

    def __init__(self, num_scalars: int, irreps_in: Irreps, statistics: dict[str, Any]) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.mean = float(statistics.get("mean", 0.0))
        self.of_atoms = readout(num_scalars, 2 * self.CHANNELS)
        self.of_structure = readout(self.CHANNELS, 1, hidden=4 * self.CHANNELS)

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        return Predicted("structure", ())

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Values ``[G]``."""
        values, logits = self.of_atoms(features.scalars).chunk(2, 1)  # [N, K] each
        weights = softmax_over_structures(logits, graph)
        pooled = sum_over_structures(weights * values, graph)
        return self.mean + self.scale * self.of_structure(pooled).squeeze(1)


class Charges(Head):
    r"""Partial charges of the atoms, shifted evenly to add up to the structure's total charge Q.

    .. math:: q_i = s\, q_\theta(\text{scalars}_i) - \frac 1N \Bigl( \sum_j s\,
              q_\theta(\text{scalars}_j) - Q \Bigr)

    Args:
        statistics: ``scale``.
    """

    uses_charge = True

    def __init__(self, num_scalars: int, irreps_in: Irreps, statistics: dict[str, Any]) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.readout = readout(num_scalars, 1)

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        return Predicted("atom", ())

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Charges ``[N]`` in e."""
        charges = self.scale * self.readout(features.scalars).squeeze(1)
        excess = sum_over_structures(charges, graph) - graph.charge.to(charges.dtype)
        return charges - (excess / graph.ptr.diff())[graph.batch]


class Dipole(Head):
    r"""Dipole moment from partial charges and atomic dipoles, about the centre of mass.

    .. math:: \boldsymbol\mu = \sum_i q_i (\mathbf r_i - \mathbf r_{cm}) + \boldsymbol\mu_i,
              \qquad \sum_i q_i = Q

    The dipole moment of an ion (total charge Q ≠ 0) depends on the origin, which is the centre of
    mass, with standard atomic masses; that of a neutral structure does not.

    Args:
        statistics: ``scale``.
        magnitude: predict the norm instead of the vector.
    """

    uses_charge = True
    uses_positions = True

    def __init__(
        self,
        num_scalars: int,
        irreps_in: Irreps,
        statistics: dict[str, Any],
        magnitude: bool = False,
    ) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.magnitude = magnitude
        self.charges = Charges(num_scalars, irreps_in, {"scale": self.scale})
        self.atomic = Linear(irreps_in, "1o", layout="ir_mul")

    @staticmethod
    def l_required(**options: Any) -> int:
        return 1

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        return Predicted("structure", () if options.get("magnitude") else (3,))

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Dipoles ``[G, 3]``, or their norms ``[G]``, in e·Å."""
        charges = self.charges(features, graph).unsqueeze(1)
        atomic = self.scale * self.atomic(features.tensors)
        device = graph.species.device
        masses = torch.tensor(MASSES, dtype=exact_dtype(device), device=device)[graph.species]
        positions = positions_from_centre(graph, masses, atomic.dtype)
        dipole = sum_over_structures(charges * positions + atomic, graph)
        return torch.linalg.vector_norm(dipole, dim=1) if self.magnitude else dipole


class SpatialExtent(Head):
    r"""Electronic spatial extent :math:`\langle R^2 \rangle` about the centre of nuclear charge.

    .. math:: R^2 = \sum_i \bigl( (Z_i - q_i)\, |\mathbf r_i - \mathbf r_c|^2
              + 2\, \mathbf d_i \cdot (\mathbf r_i - \mathbf r_c) + b_i \bigr), \qquad
              \mathbf r_c = \frac{\sum_i Z_i \mathbf r_i}{\sum_i Z_i}, \quad \sum_i q_i = Q

    This is :math:`\int \rho\, r^2` of a density that is a sum over atoms: each has its electrons,
    by :class:`Charges` q, their first moment d and their own extent b. The centre of nuclear charge
    is the origin in Gaussian, and so in QM9.
    """

    uses_charge = True
    uses_positions = True

    def __init__(self, num_scalars: int, irreps_in: Irreps, statistics: dict[str, Any]) -> None:
        super().__init__(num_scalars, irreps_in, statistics)
        self.charges = Charges(num_scalars, irreps_in, {})
        self.moment = Linear(irreps_in, "1o", layout="ir_mul")
        self.size = readout(num_scalars, 1)

    @staticmethod
    def l_required(**options: Any) -> int:
        return 1

    @staticmethod
    def predicts(**options: Any) -> Predicted:
        return Predicted("structure", ())

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """Extents ``[G]`` in Å²."""
        electrons = graph.species - self.charges(features, graph)
        moments = self.moment(features.tensors)
        positions = positions_from_centre(graph, graph.species, moments.dtype)
        extent = electrons * positions.square().sum(1) + 2 * (moments * positions).sum(1)
        return sum_over_structures(extent + self.size(features.scalars).squeeze(1), graph)


HEADS: dict[str, type[Head]] = {
    "extensive": Extensive,
    "intensive": Intensive,
    "charges": Charges,
    "dipole": Dipole,
    "polarizability": Polarizability,
    "spatial_extent": SpatialExtent,
    "tensor": TensorProperty,
}
"""The heads that a configuration may name as ``kind``."""
