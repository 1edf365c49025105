"""Errors of the radial splines with respect to the radial MLPs.

With knots h apart, the errors of the value fall with h⁴, those of the slope with h³.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from benchmarking.systems import Size
from benchmarking.timing import aligned
from molnet.models.interaction import Interaction
from molnet.models.network import Network

SHORTEST = 0.7  # Å, just below the bond of H₂: no edge is shorter
DISTANCES = 2000


class Fit(NamedTuple):
    """Errors of splines, relative to the root mean square of the exact radial functions.

    Errors are over all radial functions and distances, for the worst of several networks.

    Attributes:
        knots: number of knots.
        spacing: of the knots, h, in Å.
        value_rms, value_max: root mean square and largest error of the functions.
        slope_rms, slope_max: those of their first derivatives.
    """

    knots: int
    spacing: float
    value_rms: float
    value_max: float
    slope_rms: float
    slope_max: float

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return self._asdict()


def fits(knots: Sequence[int], size: Size, dtype: torch.dtype, networks: int) -> Iterator[Fit]:
    """Compare the splines of newly initialised networks with their radial MLPs.

    Args:
        knots: numbers of knots.
        size: of the networks.
        dtype: of weights and distances.
        networks: number of networks; each has its own seed.
    """
    distances = torch.linspace(SHORTEST, size.cutoff, DISTANCES, dtype=dtype)
    for number in knots:
        errors = []
        for seed in range(networks):
            torch.manual_seed(seed)  # the same weights whatever the number of knots
            network = make_network(size, number).to(dtype)
            errors.append(relative_errors(network, distances))
        worst = [max(column) for column in zip(*errors, strict=True)]
        yield Fit(number, size.cutoff / number, *worst)


def make_network(size: Size, knots: int) -> Network:
    """A network whose radial functions are splines."""
    network = Network(
        1,
        1.0,
        cutoff=size.cutoff,
        channels=size.channels,
        l_max=size.l_max,
        num_layers=size.layers,
        num_knots=knots,
    )
    return network.requires_grad_(False)


def relative_errors(network: Network, distances: Tensor) -> list[float]:
    """Root mean square and maximum for the values, then for the slopes."""
    interactions = list(cast(Iterable[Interaction], network.interactions))

    def exact(distances: Tensor) -> Tensor:
        radial = network.radial_basis(distances)
        return torch.cat([interaction.radial(*radial) for interaction in interactions], dim=1)

    def spline(distances: Tensor) -> Tensor:
        along_x = distances.unsqueeze(1) * torch.eye(3, dtype=distances.dtype)[0]
        weights = network.radial_weights(along_x.norm(dim=1))
        return torch.cat([each.of_every_edge() for each in weights], dim=1)

    errors = []
    for true, fitted in zip(
        _with_slope(exact, distances), _with_slope(spline, distances), strict=True
    ):
        error = (fitted - true) / _rms(true)
        errors += [_rms(error).item(), error.abs().max().item()]
    return errors


def fit_table(rows: Sequence[Fit]) -> str:
    """One line for each number of knots."""
    cells = [["knots", "spacing Å", "value RMS %", "max %", "slope RMS %", "max %"]]
    for knots, spacing, *errors in rows:
        cells.append([str(knots), f"{spacing:.4f}", *(f"{100 * error:.3g}" for error in errors)])
    return aligned(cells)


def _with_slope(function: Callable[[Tensor], Tensor], distances: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``[P, n]`` of n functions of the distance, and their first derivatives."""
    values, slopes, *_ = torch.func.jvp(function, (distances,), (torch.ones_like(distances),))
    return values, slopes


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()
