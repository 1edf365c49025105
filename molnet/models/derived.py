"""What kernels need to know of a network, derived from its modules and kept while they last."""

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from molnet.kernels import CompiledEdgeBasis, Exact, Program
from molnet.models.interaction import RadialWeights
from molnet.models.tracing import NotTraceableError, Unchanged, trace
from molnet.nn.alteration import altered
from molnet.nn.spline import CubicSpline
from molnet.o3.irreps import Irreps
from molnet.o3.spherical_harmonics import SphericalHarmonics

if TYPE_CHECKING:
    from molnet.models.network import Network

log = logging.getLogger(__name__)


class Knots(NamedTuple):
    """Constants for :meth:`RadialWeights.tables`.

    Args:
        basis: functions of the radial basis at the knots, ``[P, n]``.
        interpolation: from there to a spline's table, envelope included, ``[Q, P]``.
    """

    basis: Exact
    interpolation: Exact


@dataclass(frozen=True, eq=False)
class Compilable:
    """The layers as kernels take them, but for the weights.

    Args:
        program: the steps.
        weights: where their weights are, see :class:`~molnet.models.tracing.Traced`.
        edge_basis: harmonics and spline basis of edge vectors.
        knots: None where the radial networks have to be evaluated one by one.
    """

    program: Program
    weights: tuple[nn.Module | int, ...]
    edge_basis: CompiledEdgeBasis
    knots: Knots | None

    def serves(self, like: Tensor) -> bool:
        """Whether there are kernels for features of this type on this device."""
        steps = self.program.steps
        return self.edge_basis.serves(like) and all(s.primitive.serves(like) for s in steps)


@dataclass(frozen=True, eq=False)
class Derived:
    """What follows from the modules of a network, but for its weights.

    Attributes:
        unchanged: whether they still are what they were.
        compilable: the layers for kernels; None where these cannot do them.
        refusal: why not.
    """

    unchanged: Unchanged
    compilable: Compilable | None
    refusal: str | None

    @classmethod
    def of(cls, network: "Network") -> "Derived":
        """Derive it anew."""
        compilable, refusal = None, altered(network)
        try:
            if refusal is None:
                edge_basis = _edge_basis(network)
                width, count = network.embedding.embedding_dim, len(network.interactions)
                traced = trace(type(network).layers, network, width, count)
                compilable = Compilable(*traced, edge_basis, _knots(network))
        except NotTraceableError as error:
            refusal = str(error)
        # Last, as modules may keep what they were just asked for.
        return cls(Unchanged(network), compilable, refusal)


class Keeper:
    """Keeps what was derived from a network, and derives it anew when a module has changed.

    Copies start with nothing, as it holds addresses.
    """

    def __init__(self) -> None:
        self._derived: Derived | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Keeper, ()

    def of(self, network: "Network") -> Derived:
        """What follows from the modules as they are now."""
        known = self._derived
        if known is not None and known.unchanged:
            return known
        with torch.inference_mode(False):  # training needs the constants later
            self._derived = derived = Derived.of(network)
        if derived.compilable is not None and not _agrees(network):
            refusal = "on a small graph the steps that were traced differ from the modules"
            self._derived = derived = replace(derived, compilable=None, refusal=refusal)
        if derived.refusal and network.spline is not None:
            log.warning(
                "The layers run module by module, which takes 1.2 to 1.6 times as long in training "
                "and 3 times in dynamics: %s.",
                derived.refusal,
            )
        return derived


def _edge_basis(network: "Network") -> CompiledEdgeBasis:
    harmonics, spline = network.harmonics, network.spline
    usual = Irreps.spherical_harmonics(network.l_max)
    if (
        type(harmonics) is not SphericalHarmonics
        or harmonics.irreps_out != usual
        or not harmonics.normalize
        or harmonics.normalization != "component"
    ):
        raise NotTraceableError(f"harmonics ({type(harmonics).__name__}) are others than usual")
    if spline is None:
        raise NotTraceableError("the radial networks are evaluated on every edge (num_knots: null)")
    if type(spline) is not CubicSpline:
        raise NotTraceableError(f"spline ({type(spline).__name__}) is no CubicSpline")

    def reference(vectors: Tensor) -> tuple[Tensor, Tensor]:
        return harmonics(vectors), spline(vectors.norm(dim=1))[0]

    poles = tuple(math.sqrt(2 * l + 1) for l in range(network.l_max + 1))  # component normalisation
    return CompiledEdgeBasis(poles, True, spline.num_knots, spline.cutoff, reference)


@torch.no_grad()
def _knots(network: "Network") -> Knots | None:
    """Constants, where all that they stand for is as usual and nothing of the basis is trained."""
    spline = cast(CubicSpline, network.spline)
    basis: tuple[nn.Module, ...] = network.bessel, network.envelope
    if any(True for module in basis for _ in module.parameters()):
        return None
    if not all(
        RadialWeights.is_usual(cast(nn.Module, each.radial)) for each in network.interactions
    ):
        return None
    at_knots, envelope = network.radial_basis(spline.knots().to(network.embedding.weight.device))
    interpolation = spline.interpolation().to(envelope) * envelope.t()
    return Knots(Exact(at_knots), Exact(interpolation))


@torch.no_grad()
def _agrees(network: "Network") -> bool:
    """Whether the kernels' steps give what the modules give, on two atoms; true without kernels."""
    bound = network.bind()
    if bound is None:
        return True
    like = network.embedding.weight
    species = torch.zeros(2, dtype=torch.int64)
    vectors = like.new_tensor([[0.3, -0.4, 0.5], [-0.3, 0.4, -0.5]]) * network.cutoff
    senders, receivers = torch.tensor([1, 0]), torch.tensor([0, 1])
    of_kernels = network(species, vectors, senders, receivers, bound)
    of_modules = network.by_modules(species, vectors, senders, receivers)
    return all(
        torch.allclose(
            found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()), equal_nan=True
        )
        for found, expected in zip(of_kernels, of_modules, strict=True)
    )
