"""Repulsion of nuclei that come closer than any bond, where no training data reaches."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from molnet.nn.radial import PolynomialEnvelope

COULOMB = 14.399645
"""e²/4πε₀ in eV Å."""

AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
"""The universal screening function, φ(x) = Σ_k a_k exp(−b_k x)."""

SHORTEST = 0.75
"""Where the repulsion ends, in units of the sum of the covalent radii: no bond is so short."""

SEEN = (0.35, 0.55)
"""Between these distances, in the same unit, networks cease to see whether atoms come closer."""

PullBack: TypeAlias = Callable[[Tensor], Tensor]
"""From gradients of the vectors that a network sees to those of the vectors as they are."""


class Repulsion(nn.Module):
    r"""Screened Coulomb repulsion of nuclei, which ends below the length of a bond.

    .. math::
        E_i = \tfrac12 \sum_{j} u\!\left(\frac{r_{ij}}{0.75 (R_i + R_j)}\right)
              \frac{e^2}{4\pi\epsilon_0} \frac{Z_i Z_j}{r_{ij}}\, \phi\!\left(
              \frac{r_{ij}}{a_{ij}}\right), \quad
        a_{ij} = \frac{0.46850\ \text{Å}}{Z_i^{0.23} + Z_j^{0.23}}

    with the universal screening function of Ziegler, Biersack & Littmark (The Stopping and Range of
    Ions in Solids, 1985), the polynomial envelope u with p = 6 and covalent radii R. Nothing is
    learned. Bonded atoms do not feel it, so training does not have to undo it.

    A network extrapolates freely below the distances of its training, and what it makes up there
    can outweigh any repulsion. So it sees vectors of at least 0.45 (R_i + R_j):

    .. math::
        \mathbf r \mapsto \rho(r) \frac{\mathbf r}{r}, \quad
        \rho'(r) = S\!\left(\frac{r/(R_i + R_j) - 0.35}{0.55 - 0.35}\right)

    with S(t) = 6t⁵ − 15t⁴ + 10t³ from 0 to 1. Nothing changes from 0.55 times the sum of the
    radii on; below 0.35 times the sum the repulsion alone acts along the line between two atoms.

    Args:
        numbers: atomic numbers of the S species.
        radii: their covalent radii, Å.
    """

    charges: Tensor
    radii: Tensor

    def __init__(self, numbers: Sequence[int], radii: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer(
            "charges", torch.tensor(numbers, dtype=torch.float64), persistent=False
        )
        self.register_buffer("radii", torch.tensor(radii, dtype=torch.float64), persistent=False)
        self.envelope = PolynomialEnvelope(1.0, power=6)

    def forward(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The energy of each atom, ``[N]``, eV, and the vectors that a network shall see.

        Args:
            species: indices into the S species, ``[N]``.
            vectors: of the edges, ``[E, 3]``, Å.
            senders, receivers: ``[E]``.
        """
        energies = vectors.new_zeros(len(species))
        near, radii = self._near(species, vectors, senders, receivers)
        if len(near) == 0:
            return energies, vectors
        charges = self._of_both(self.charges, species, senders[near], receivers[near])
        close = vectors[near]
        distances = close.norm(dim=1)
        pairs = self._pairs(distances, radii, *charges.to(vectors))
        stretch, _ = _seen(distances, radii)
        return (
            energies.index_add(0, receivers[near], pairs / 2),
            vectors.index_copy(0, near, close * stretch.unsqueeze(1)),
        )

    def evaluated(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> tuple[Tensor, Tensor, PullBack]:
        """The same for constant vectors, with nothing recorded by autograd.

        Returns:
            Energies, the vectors that a network shall see, and a function from gradients of these,
            which may be recorded, to gradients of the vectors as they are; it adds the gradient of
            the sum of the energies.
        """
        near, radii = self._near(species, vectors, senders, receivers)
        if len(near) == 0:
            return vectors.new_zeros(len(species)), vectors, lambda of_seen: of_seen
        with torch.inference_mode(False), torch.enable_grad():
            # Copies, since what inference mode made cannot be differentiated.
            close = vectors[near].clone().requires_grad_()
            ends = senders[near].clone(), receivers[near].clone()
            pairs = self._pairs(
                close.norm(dim=1), radii.clone(), *self._of_both(self.charges, species, *ends)
            )
            (gradient,) = torch.autograd.grad(pairs.sum() / 2, close)
        close, pairs = close.detach(), pairs.detach()
        distances = close.norm(dim=1)
        stretch, slope = (each.unsqueeze(1) for each in _seen(distances, radii))
        along = close / distances.unsqueeze(1)

        def pull_back(of_seen: Tensor) -> Tensor:
            of_close = of_seen[near]
            radial = (along * of_close).sum(dim=1, keepdim=True) * along
            changed = stretch * of_close + (slope - stretch) * radial + gradient
            return of_seen.index_copy(0, near, changed)

        energies = vectors.new_zeros(len(species)).index_add(0, receivers[near], pairs / 2)
        return energies, vectors.index_copy(0, near, close * stretch), pull_back

    @torch.no_grad()
    def _near(
        self, species: Tensor, vectors: Tensor, senders: Tensor, receivers: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The edges that feel it, ``[C]``, and the sums of radii at their ends, ``[C]``."""
        radii = self._of_both(self.radii, species, senders, receivers).sum(0)
        near = vectors.square().sum(1) < (SHORTEST * radii).square()
        near = near.nonzero().squeeze(1)
        return near, radii[near].to(vectors)

    def _pairs(self, distances: Tensor, radii: Tensor, z_i: Tensor, z_j: Tensor) -> Tensor:
        """Energies of pairs, eV."""
        x = distances * (z_i**0.23 + z_j**0.23) / 0.46850
        screening = sum(a * torch.exp(-b * x) for a, b in zip(AMPLITUDES, DECAYS, strict=True))
        ends = self.envelope(distances / (SHORTEST * radii))
        return ends * COULOMB * z_i * z_j / distances * screening

    @staticmethod
    def _of_both(table: Tensor, species: Tensor, senders: Tensor, receivers: Tensor) -> Tensor:
        """Values of both ends of each edge, ``[2, E]``."""
        return torch.stack([table[species[receivers]], table[species[senders]]])


def _seen(distances: Tensor, radii: Tensor) -> tuple[Tensor, Tensor]:
    """ρ/r and ρ' of distances ``[C]`` between atoms with these sums of radii, ``[C]``."""
    low, high = SEEN
    t = ((distances / radii - low) / (high - low)).clamp(0, 1)
    slope = t**3 * (6 * t**2 - 15 * t + 10)
    # ρ(r) = r from t = 1 on, where ∫₀ᵗ S = t⁶ − 3t⁵ + 5/2 t⁴ = 1/2.
    shown = (low + high) / 2 + (high - low) * t**4 * (t**2 - 3 * t + 2.5)
    return torch.where(t < 1, shown * radii / distances, 1.0), slope
